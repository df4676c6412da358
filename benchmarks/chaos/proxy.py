"""A TCP proxy on the loopback interface whose network can be made to fail."""

import asyncio
import contextlib
import time
from enum import StrEnum

CHUNK_BYTES = 1 << 16
MAX_CHUNKS = 64  # under way in one direction; then the sender has to wait


class Mode(StrEnum):
    """How the network behaves."""

    PASS = "pass"  # bytes go through, after the latency
    STALL = "stall"  # bytes wait; they go through when the stall is over
    HALF_OPEN = "half-open"  # bytes, and the ends of connections, are dropped without a word
    CUT = "cut"  # connections are reset, and new ones at once


class _Pipe:
    """One accepted connection and the one to the server behind it."""

    def __init__(self, proxy: "Proxy") -> None:
        self.proxy = proxy
        self.writers: list[asyncio.StreamWriter] = []
        self.has_lost = False  # bytes are missing, so the stream cannot go on
        self.upstream_port = 0

    async def run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        try:
            await self.proxy.flowing.wait()
            if self.proxy.mode is Mode.CUT:
                return
            upstream, to_upstream = await asyncio.open_connection("127.0.0.1", self.proxy.target)
            self.writers.append(to_upstream)
            self.upstream_port = to_upstream.get_extra_info("sockname")[1]
            await asyncio.gather(
                self._forward(reader, to_upstream), self._forward(upstream, writer)
            )
        except (OSError, EOFError):
            pass
        finally:
            # The end is as silent as everything else while the connection is half open.
            while self.proxy.mode is Mode.HALF_OPEN:
                await self.proxy.changed.wait()
            self.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one direction until its end; raise EOFError then."""
        chunks: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(MAX_CHUNKS)
        sender = asyncio.create_task(self._send(chunks, writer))
        try:
            while data := await reader.read(CHUNK_BYTES):
                if sender.done():
                    break
                await chunks.put((time.monotonic() + self.proxy.latency_s, data))
            await chunks.put((0.0, b""))
            await sender
            raise EOFError
        finally:
            sender.cancel()

    async def _send(
        self, chunks: "asyncio.Queue[tuple[float, bytes]]", writer: asyncio.StreamWriter
    ) -> None:
        proxy = self.proxy
        while True:
            due, data = await chunks.get()
            if (wait := due - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            await proxy.flowing.wait()
            if not data:
                return
            if proxy.mode is Mode.HALF_OPEN:
                self.has_lost = True
            if not self.has_lost:
                writer.write(data)
                await writer.drain()

    def abort(self) -> None:
        for writer in self.writers:
            _abort(writer)


def _abort(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    writer.close()


class Proxy:
    """Forwards connections of a port of its own to a port of this machine.

    Attributes:
        port: where it listens, after `start`.
        latency_s: how late bytes arrive, in each direction.
        changed: set for a moment each time the mode changes.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.latency_s = 0.0
        self.mode = Mode.PASS
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.changed = asyncio.Event()
        self._pipes: set[_Pipe] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.mode is Mode.CUT:
            _abort(writer)
            return
        pipe = _Pipe(self)
        task = asyncio.current_task()
        assert task is not None
        self._pipes.add(pipe)
        self._tasks.add(task)
        try:
            await pipe.run(reader, writer)
        except asyncio.CancelledError:
            pipe.abort()
        finally:
            self._pipes.discard(pipe)
            self._tasks.discard(task)

    def set_mode(self, mode: Mode) -> None:
        """Change how the network behaves, for open connections and new ones.

        After HALF_OPEN, connections that lost bytes are reset: the two ends disagree about them.
        """
        self.mode = mode
        if mode is Mode.STALL:
            self.flowing.clear()
        else:
            self.flowing.set()
        for pipe in list(self._pipes):
            if mode is Mode.CUT or (mode is Mode.PASS and pipe.has_lost):
                pipe.abort()
        self.changed.set()
        self.changed.clear()

    def owns(self, upstream_port: int) -> bool:
        """Return whether the server sees a connection of this proxy at that port."""
        return any(pipe.upstream_port == upstream_port for pipe in self._pipes)

    async def close(self) -> None:
        """End all connections, and listen no more."""
        self.set_mode(Mode.CUT)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._server is not None:
            self._server.close()
            with contextlib.suppress(OSError):
                await self._server.wait_closed()
