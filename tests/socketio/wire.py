"""A client of Engine.IO and Socket.IO that shows each packet: polls by hand, or a WebSocket."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from websockets.asyncio.client import ClientConnection

from tests.waiting import DEADLINE_S

QUERY = "/socket.io/?EIO=4&transport="


class Answer(NamedTuple):
    """An answer of HTTP."""

    status: int
    headers: dict[str, str]
    body: str


async def request(
    port: int,
    path: str,
    body: bytes | None = None,
    *,
    method: str = "",
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Send a request over a connection of its own, and return the answer."""
    method = method or ("GET" if body is None else "POST")
    lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    async with asyncio.timeout(DEADLINE_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write("\r\n".join([*lines, "", ""]).encode() + (body or b""))
            head, _, rest = (await reader.read()).partition(b"\r\n\r\n")
        finally:
            writer.close()
    status, *fields = head.decode().split("\r\n")
    found = {
        name.lower(): value.strip() for name, _, value in (one.partition(":") for one in fields)
    }
    if found.get("transfer-encoding") == "chunked":
        rest = _unchunked(rest)
    return Answer(int(status.split()[1]), found, rest.decode())


def _unchunked(data: bytes) -> bytes:
    parts = []
    while data:
        size, _, data = data.partition(b"\r\n")
        length = int(size, 16)
        parts.append(data[:length])
        data = data[length + 2 :]
    return b"".join(parts)


# Come whenever the feed or a market changes.
_UNASKED = ('42["notice",{"type":"heartbeat"', '42["notice",{"type":"market_status"')


def events_in(packets: Sequence[str]) -> list[Any]:
    """Return the events among packets: name and argument."""
    return [json.loads(one[2:]) for one in packets if one.startswith("42")]


class PollingClient:
    """A client that polls."""

    def __init__(self, port: int, sid: str) -> None:
        self.port = port
        self.sid = sid
        self.path = f"{QUERY}polling&sid={sid}"

    @classmethod
    async def open(
        cls, port: int, *, join: bool = True, headers: Mapping[str, str] | None = None
    ) -> "PollingClient":
        answer = await request(port, f"{QUERY}polling", headers=headers)
        assert answer.status == 200 and answer.body.startswith("0{"), answer
        client = cls(port, json.loads(answer.body[1:])["sid"])
        if join:
            await client.send("40")
            assert (await client.poll())[0].startswith("40{")
        return client

    async def send(self, *packets: str) -> Answer:
        return await request(self.port, self.path, "\x1e".join(packets).encode())

    async def emit(self, *arguments: Any, ack: int | None = None) -> None:
        number = "" if ack is None else str(ack)
        assert (await self.send(f"42{number}{json.dumps(arguments)}")).body == "ok"

    async def get(self) -> Answer:
        return await request(self.port, self.path)

    async def poll(self) -> list[str]:
        """Return the packets of the next poll, without changes of feed and markets."""
        while True:
            answer = await self.get()
            assert answer.status == 200, answer
            packets = [one for one in answer.body.split("\x1e") if not one.startswith(_UNASKED)]
            if packets:
                return packets

    async def events(self, count: int) -> list[Any]:
        """Return the next events."""
        found: list[Any] = []
        while len(found) < count:
            found += events_in(await self.poll())
        return found


class SocketClient:
    """A client with a WebSocket."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def packet(self) -> str:
        """Return the next packet that tells of no change of feed or market."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                text = await self.connection.recv()
                assert isinstance(text, str)
                if not text.startswith(_UNASKED):
                    return text

    async def join(self, auth: str = "") -> None:
        assert (await self.packet()).startswith("0{")
        await self.connection.send("40" + auth)
        assert (await self.packet()).startswith("40{")

    async def emit(self, *arguments: Any, ack: int | None = None) -> None:
        number = "" if ack is None else str(ack)
        await self.connection.send(f"42{number}{json.dumps(arguments)}")

    async def ask(self, *arguments: Any) -> Any:
        """Emit an event with a callback; return what that is called with."""
        await self.emit(*arguments, ack=7)
        while not (packet := await self.packet()).startswith("437["):
            pass
        (answer,) = json.loads(packet[3:])
        return answer

    async def event(self, *names: str) -> Any:
        """Return the argument of the next event of one of these names."""
        while True:
            for name, argument in events_in([await self.packet()]):
                if not names or name in names:
                    return argument
