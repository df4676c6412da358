"""The proxy of the chaos suite: each way in which its network fails."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from benchmarks.chaos.proxy import Mode, Proxy
from tests.waiting import DEADLINE_S, eventually

BRIEF_S = 0.1  # in which nothing comes


class Echo:
    """A server that sends back what it gets, and notes it."""

    def __init__(self) -> None:
        self.got = b""
        self.ended = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1000):
                self.got += data
                writer.write(data)
        except ConnectionError:
            pass
        finally:
            self.ended += 1
            writer.close()


class Hop:
    """A proxy before an echo server, with one open connection."""

    def __init__(self, proxy: Proxy, echo: Echo) -> None:
        self.proxy = proxy
        self.echo = echo
        self.writer: asyncio.StreamWriter | None = None

    def abort(self) -> None:
        if self.writer is not None:
            self.writer.transport.abort()
            self.writer.close()

    def write(self, data: bytes) -> None:
        assert self.writer is not None
        self.writer.write(data)

    async def connect(self) -> None:
        self.abort()
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.proxy.port)

    async def read(self) -> bytes:
        async with asyncio.timeout(DEADLINE_S):
            return await self.reader.read(1000)

    async def is_silent(self) -> bool:
        try:
            async with asyncio.timeout(BRIEF_S):
                await self.reader.read(1000)
        except TimeoutError:
            return True
        return False


@pytest.fixture
async def hop() -> AsyncIterator[Hop]:
    echo = Echo()
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    proxy = Proxy(server.sockets[0].getsockname()[1])
    await proxy.start()
    hop = Hop(proxy, echo)
    await hop.connect()
    hop.write(b"first")
    assert await hop.read() == b"first"
    yield hop
    hop.abort()
    await proxy.close()
    server.close()


async def test_bytes_pass_late_by_the_latency(hop: Hop) -> None:
    """Each direction takes the latency; nothing is lost."""
    hop.proxy.latency_s = 0.05
    loop = asyncio.get_running_loop()
    began = loop.time()
    hop.write(b"x" * 500)
    assert await hop.read() == b"x" * 500
    assert loop.time() - began >= 2 * hop.proxy.latency_s


async def test_a_stall_holds_bytes_back_and_loses_none(hop: Hop) -> None:
    """What was sent meanwhile arrives in order afterwards, also over new connections."""
    hop.proxy.set_mode(Mode.STALL)
    hop.write(b"held")
    assert await hop.is_silent()
    assert hop.echo.got == b"first"
    hop.proxy.set_mode(Mode.PASS)
    assert await hop.read() == b"held"


async def test_half_open_drops_bytes_without_a_word(hop: Hop) -> None:
    """Neither end notices; afterwards the connection that lost bytes is reset, others pass."""
    hop.proxy.set_mode(Mode.HALF_OPEN)
    hop.write(b"gone")
    assert await hop.is_silent()
    assert hop.echo.got == b"first" and not hop.echo.ended
    hop.proxy.set_mode(Mode.PASS)
    with pytest.raises(ConnectionError):
        assert not await hop.read()
        raise ConnectionResetError  # an end is as good as a reset
    await hop.connect()
    hop.write(b"second")
    assert await hop.read() == b"second"
    assert hop.echo.got == b"firstsecond"


async def test_half_open_hides_the_end_of_a_connection(hop: Hop) -> None:
    """A client that leaves is still there for the server until the network is back."""
    hop.proxy.set_mode(Mode.HALF_OPEN)
    hop.abort()
    await asyncio.sleep(BRIEF_S)
    assert not hop.echo.ended
    hop.proxy.set_mode(Mode.PASS)
    await eventually(lambda: hop.echo.ended == 1)


async def test_a_cut_ends_connections_and_refuses_new_ones(hop: Hop) -> None:
    """Both ends see the end at once."""
    hop.proxy.set_mode(Mode.CUT)
    await eventually(lambda: hop.echo.ended == 1)
    with pytest.raises(ConnectionError):
        assert not await hop.read()
        raise ConnectionResetError
    with pytest.raises(ConnectionError):
        await hop.connect()
        assert not await hop.read()
        raise ConnectionResetError
    hop.proxy.set_mode(Mode.PASS)
    await hop.connect()
    hop.write(b"again")
    assert await hop.read() == b"again"


async def test_it_knows_its_connections(hop: Hop) -> None:
    """The port that the server sees is the proxy's, until the connection ends."""
    ports = [pipe.upstream_port for pipe in hop.proxy._pipes]
    assert [hop.proxy.owns(port) for port in [*ports, 1]] == [True, False]
    hop.abort()
    await eventually(lambda: not hop.proxy.owns(ports[0]))
