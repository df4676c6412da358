"""One WebSocket to Kite's ticker: connects, subscribes, reads packets, and comes back after a loss.

Kite sends a frame each second, if only a heartbeat of one byte: silence means that the connection
is dead, though TCP does not say so.
"""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from quotes.errors import quoted
from quotes.kite.packets import BadPacket, Packet, decode, split_packets
from quotes.kite.source.access_token import AccessToken, NoToken
from quotes.kite.source.backoff import REFUSED_S, Backoff
from quotes.runtime.redaction import scrub
from quotes.runtime.warnings import RateLimitedWarnings

logger = logging.getLogger(__name__)

SILENT_AFTER_S = 5.0
DEFAULT_MODE = "quote"
# A frame of 3,000 full packets has 558,002 bytes.
_MAX_FRAME_BYTES = 4 << 20
_OPEN_TIMEOUT_S = 10.0
# A subscription begins in the default mode, whose packets have no time: the price of long ago that
# comes first would be taken for one of now, and what follows in the wanted mode for an older one.
_MODES_AFTER_S = 2.0
_LOOK_EVERY_S = 0.5
_SETTLED_S = 10.0

Modes = dict[int, str]  # instrument token -> mode


class ConnectionCounters:
    """What came over one connection since the start, whatever it was lost in between."""

    def __init__(self) -> None:
        self.connects = self.losses = 0
        self.frames = self.heartbeats = self.packets = 0
        self.bad_frames = self.bad_packets = 0


class KiteConnection:
    """A connection that lasts: `run` returns only when it is cancelled.

    Args:
        url: of the ticker, without credentials.
        take: called with the packets of each frame, in order.
        tell: called with a sentence when the connection is up, lost or refused.

    Attributes:
        state: in a word or a sentence, for operators.
        modes: what is wanted; change it by `want`.
    """

    def __init__(
        self,
        name: str,
        *,
        url: str,
        api_key: str,
        token: AccessToken,
        take: Callable[[list[Packet]], object],
        tell: Callable[[str], object],
        silent_after_s: float = SILENT_AFTER_S,
        backoff: Backoff | None = None,
        refused_s: float = REFUSED_S,
    ) -> None:
        self.name = name
        self.state = "connecting"
        self.is_up = False
        self.modes: Modes = {}
        self.counters = ConnectionCounters()
        self._url = url
        self._api_key = api_key
        self._token = token
        self._take = take
        self._tell = tell
        self._silent_after_s = silent_after_s
        self._backoff = backoff or Backoff()
        self._refused_s = refused_s
        self._sent: Modes = {}  # what the other side knows
        self._sending = asyncio.Lock()
        self._settled_at = 0.0  # until then packets may be of another mode than is wanted
        self._socket: ClientConnection | None = None
        self._warn = RateLimitedWarnings(logger)

    async def want(self, modes: Modes) -> None:
        """Have these instruments in these modes, and no others; sent now if the line is up."""
        self.modes = modes
        with contextlib.suppress(ConnectionClosed):  # all are subscribed when it is back
            await self._send_changes()

    async def run(self) -> None:
        """Connect, read, and connect again."""
        while True:
            token = ""
            try:
                token = self._token.read()
                await self._converse(token)
                pause_s, reason = self._backoff.pause_s(), "Kite closed the connection"
            except NoToken as error:
                pause_s, reason = self._refused_s, str(error)
            except InvalidStatus as error:
                pause_s, reason = self._refusal(error.response.status_code)
            except TimeoutError:
                pause_s = self._backoff.pause_s()
                reason = f"Kite does not answer within {_OPEN_TIMEOUT_S:g} s"
            except _Silent:
                pause_s = self._backoff.pause_s()
                reason = f"no frame for {self._silent_after_s:g} s, though Kite sends one a second"
            except (OSError, WebSocketException) as error:
                pause_s = self._backoff.pause_s()
                reason = scrub(f"{type(error).__name__}: {error}").replace(
                    token or "\0", "[hidden]"
                )
            self._report_loss(reason, pause_s)
            await self._pause(pause_s, token)

    # -- one connection --------------------------------------------------------------------------

    async def _converse(self, token: str) -> None:
        """Connect and read until the connection ends."""
        credentials = f"api_key={quote(self._api_key)}&access_token={quote(token)}"
        async with connect(
            f"{self._url}?{credentials}",
            compression=None,
            additional_headers={"X-Kite-Version": "3"},
            user_agent_header="live-prices",
            max_size=_MAX_FRAME_BYTES,
            open_timeout=_OPEN_TIMEOUT_S,
            close_timeout=1,
        ) as socket:
            began = time.monotonic()
            self._sent = {}
            self._socket = socket
            try:
                await self._send_changes()
                self.counters.connects += 1
                self.state, self.is_up = "up", True
                self._tell(f"{self.name}: connected, {len(self.modes):,} instruments")
                while True:
                    self.read(await self._frame(socket))
                    if time.monotonic() - began > _SETTLED_S:
                        self._backoff.reset()
            except ConnectionClosed as error:
                if error.rcvd is None:
                    raise
            finally:
                self._socket, self.is_up = None, False

    async def _frame(self, socket: ClientConnection) -> str | bytes:
        try:
            async with asyncio.timeout(self._silent_after_s):
                return await socket.recv()
        except TimeoutError:
            # A closing handshake would wait for an answer of a line that is dead.
            socket.transport.abort()
            raise _Silent from None

    def read(self, frame: str | bytes) -> None:
        """Take a frame; whatever it holds, the connection goes on."""
        counters = self.counters
        counters.frames += 1
        if isinstance(frame, str):
            self._read_text(frame)
            return
        try:
            parts = split_packets(frame)
        except BadPacket as error:
            counters.bad_frames += 1
            self._warn("frame", f"{self.name}: passed over a frame of Kite: {error}")
            return
        if not parts:
            counters.heartbeats += 1
            return
        packets = []
        for part in parts:
            try:
                packets.append(decode(part))
            except BadPacket as error:
                counters.bad_packets += 1
                self._warn("packet", f"{self.name}: passed over a packet of Kite: {error}")
        counters.packets += len(packets)
        if time.monotonic() < self._settled_at:
            packets = [one for one in packets if one.mode == self._sent.get(one.token, one.mode)]
        self._take(packets)

    def _read_text(self, frame: str) -> None:
        """Take a message: Kite says in words what is wrong; orders are nobody's here."""
        try:
            message: Any = json.loads(frame)
            kind, text = message["type"], message["data"]
        except (ValueError, KeyError, TypeError, RecursionError):
            self.counters.bad_frames += 1
            self._warn("frame", f"{self.name}: passed over a text of Kite, got {quoted(frame)}")
            return
        if kind in ("error", "message"):
            self._warn("message", f"{self.name}: Kite says: {quoted(scrub(str(text)))}")

    async def _send_changes(self) -> None:
        """Send what differs between what is wanted and what the other side knows."""
        async with self._sending:
            socket, wanted, sent = self._socket, self.modes, self._sent
            if socket is None or wanted == sent:
                return
            self._sent = dict(wanted)
            gone = [token for token in sent if token not in wanted]
            new = [token for token in wanted if token not in sent]
            if gone:
                await socket.send(_message("unsubscribe", gone))
            self._settled_at = time.monotonic() + _MODES_AFTER_S
            if new:
                await socket.send(_message("subscribe", new))
            changed: dict[str, list[int]] = {}
            for token, mode in wanted.items():
                if sent.get(token, DEFAULT_MODE) != mode:
                    changed.setdefault(mode, []).append(token)
            for mode, tokens in changed.items():
                await socket.send(_message("mode", [mode, tokens]))

    # -- between connections ----------------------------------------------------------------------

    def _refusal(self, status: int) -> tuple[float, str]:
        """Return how long to wait after a refusal by HTTP status, and what it means."""
        if status in (401, 403):
            return self._refused_s, f"Kite refuses the access token ({status}): {self._token.cure}"
        if status == 429:
            return self._refused_s, (
                "Kite has three connections of this API key already (429): stop the others"
            )
        return self._backoff.pause_s(), f"Kite answers {status} instead of a WebSocket"

    def _report_loss(self, reason: str, pause_s: float) -> None:
        self.counters.losses += 1
        if reason != self.state:
            self._tell(f"{self.name}: {reason}; next attempt in {pause_s:.0f} s")
        self.state = reason

    async def _pause(self, pause_s: float, token: str) -> None:
        """Wait, but not when a new token comes meanwhile."""
        until = time.monotonic() + pause_s
        while (left := until - time.monotonic()) > 0:
            await asyncio.sleep(min(left, _LOOK_EVERY_S))
            if self._token.can_change and self._has_new_token(token):
                return

    def _has_new_token(self, token: str) -> bool:
        try:
            return self._token.read() != token
        except NoToken:
            return False


class _Silent(Exception):
    """No frame came for too long."""


def _message(action: str, value: list[Any]) -> str:
    return json.dumps({"a": action, "v": value}, separators=(",", ":"))
