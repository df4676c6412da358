"""A small server that speaks as Kite's ticker does, for the tests of the source."""

import asyncio
import json
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from quotes.kite.packets import HEARTBEAT, Packet, encode, join_packets
from tests.ports import free_port

HEARTBEAT_S = 0.05


class Upstream:
    """A ticker whose clients are all those with the right token.

    Attributes:
        status: of the refusal of a client with another token.
        beats: whether heartbeats are sent.
        queries: of all attempts to connect.
        messages: what clients sent, in order.
        modes: of each connection that is open, in the order of connecting.
    """

    def __init__(self, token: str = "secret-token") -> None:
        self.token = token
        self.status = HTTPStatus.FORBIDDEN
        self.beats = True
        self.port = free_port()
        self.url = f"ws://127.0.0.1:{self.port}/kite"
        self.queries: list[dict[str, list[str]]] = []
        self.messages: list[Any] = []
        self.modes: dict[ServerConnection, dict[int, str]] = {}
        self._server: Server | None = None

    @property
    def subscribed(self) -> dict[int, str]:
        """The modes of all connections together."""
        return {token: mode for modes in self.modes.values() for token, mode in modes.items()}

    async def __aenter__(self) -> "Upstream":
        await self.start()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.stop()

    async def start(self) -> None:
        self._server = await serve(
            self._converse,
            "127.0.0.1",
            self.port,
            process_request=self._check,
            compression=None,
            close_timeout=0.1,
        )

    async def stop(self) -> None:
        """End all connections, as a restart does."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    async def send(self, *packets: Packet) -> None:
        await self.send_raw(join_packets([encode(one) for one in packets]))

    async def send_raw(self, frame: bytes | str) -> None:
        for connection in list(self.modes):
            await connection.send(frame)

    def _check(self, connection: ServerConnection, request: Request) -> Response | None:
        query = parse_qs(urlsplit(request.path).query)
        self.queries.append(query)
        if query.get("access_token") != [self.token]:
            return connection.respond(self.status, "refused\n")
        return None

    async def _converse(self, connection: ServerConnection) -> None:
        modes = self.modes[connection] = {}
        try:
            while True:
                try:
                    async with asyncio.timeout(HEARTBEAT_S):
                        message = json.loads(await connection.recv())
                except TimeoutError:
                    if self.beats:
                        await connection.send(HEARTBEAT)
                    continue
                self.messages.append(message)
                self._follow(modes, message)
        except ConnectionClosed:
            pass
        finally:
            del self.modes[connection]

    def _follow(self, modes: dict[int, str], message: dict[str, Any]) -> None:
        action, value = message["a"], message["v"]
        if action == "subscribe":
            modes.update({token: modes.get(token, "quote") for token in value})
        elif action == "unsubscribe":
            for token in value:
                modes.pop(token, None)
        else:
            mode, tokens = value
            modes.update(dict.fromkeys(tokens, mode))
