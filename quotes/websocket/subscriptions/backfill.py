"""Backfill: the past ticks that a client is sent before its prices are live.

Either each tick that it missed since the position it sends (`since`), or the last ticks
(`history`); live ticks follow with no gap and no repeat.
"""

import asyncio
from collections.abc import Callable, Sequence

import msgspec

from instruments.keys import InstrumentKey
from quotes.conf import conf
from quotes.errors import ProtocolError
from quotes.layer.lanes import Message
from quotes.store.positions import StreamPosition
from quotes.store.tick_log import EPOCH, FRAME, KEY, SEQ, LogRow
from quotes.websocket.counters import counters
from quotes.websocket.delivery.outbox import Outbox
from quotes.websocket.delivery.price_message import PriceMessage
from quotes.websocket.feed.delivered import position_of
from quotes.websocket.feed.stream_history import UNREADABLE, MissedTicks, StreamHistory
from quotes.websocket.protocol import ErrorCode, Since, Subscribe, frame

# Ticks handed to the outbox at once, or fewer that are large; then the client has to take them.
_CHUNK = 200
_WAIT_S = 0.01


class Backfill:
    """Sends one client the past ticks of the instruments of one subscription.

    Either each missed tick exactly once and in order, or the reason why not; it waits for a slow
    client instead of dropping ticks.

    Args:
        names: what the request subscribes to: as the client wrote it, and the options of a chain.
        held: instrument key -> the ticks that came since the groups were joined, if any did.
        is_over: says whether the client is gone.

    Attributes:
        names: instrument key -> the name, as the client wrote it, of those that are not the key.

    Raises:
        ProtocolError: the request is not valid.
    """

    def __init__(
        self,
        history: StreamHistory,
        outbox: Outbox,
        message: Subscribe,
        names: Sequence[str],
        *,
        held: dict[str, list[Message] | None],
        is_over: Callable[[], bool],
    ) -> None:
        self._history = history
        self._outbox = outbox
        self._message = message
        self._held = held
        self._is_over = is_over
        self._count = (message.history.ticks or 0) if message.history else 0
        if self._count > conf.history_max_ticks:
            raise ProtocolError(
                ErrorCode.BAD_REQUEST,
                f"history can have at most {conf.history_max_ticks} ticks, got {self._count}",
            )
        self._since = {name: message.since_of(name) for name in names} if message.since else {}
        self.names: dict[str, str] = {}
        self._is_current = True

    @property
    def is_wanted(self) -> bool:
        """Whether the request asks for past ticks."""
        return bool(self._count or any(self._since.values()))

    async def prepare(self, *, has_latest: bool) -> None:
        """Read the end of the tick log, so that it has the newest; call it before `send`.

        Args:
            has_latest: whether the latest prices could be read.
        """
        self._is_current = await self._history.refresh() and has_latest

    async def send(
        self, key: InstrumentKey, newest: StreamPosition | None
    ) -> StreamPosition | None:
        """Send an instrument's past ticks.

        Args:
            newest: the position of the newest tick known since its group was joined.

        Returns:
            The position of the last tick sent; None if the latest price has yet to be sent.
        """
        name = self.names.get(str(key), str(key))
        since = self._since.get(name)
        if since is not None:
            return await self._resume(key, name, since, newest)
        if self._count and not self._is_current:
            self._send_history(key, name, [], reason=UNREADABLE)
        elif self._count:
            rows = await self._history.last_ticks(key, self._count, newest)
            await self._wait_for_room()
            self._send_history(key, name, rows)
            return StreamPosition(rows[-1][EPOCH], rows[-1][SEQ]) if rows else None
        return None

    def send_delayed(self, key: InstrumentKey, minutes: int) -> None:
        """Report that the past of an instrument with delayed prices is not sent."""
        name = self.names.get(str(key), str(key))
        if self._since.get(name) is not None:
            reason = f"its prices are delayed by {minutes} minutes"
            self._send_resumed(key, name, MissedTicks([], reason))
        elif self._count:
            self._send_history(key, name, [])

    def _send_history(
        self, key: InstrumentKey, name: str, rows: list[LogRow], *, reason: str = ""
    ) -> None:
        text = self._outbox.framing.text
        why = {"reason": reason} if reason else {}
        self._outbox.control(
            frame(
                "history",
                id=self._message.id,
                symbol=name,
                key=str(key),
                **why,
                ticks=[msgspec.Raw(text(PriceMessage(*row))) for row in rows],
            )
        )

    def _send_resumed(self, key: InstrumentKey, name: str, missed: MissedTicks) -> None:
        counters.resumes["missed" if missed.reason else "recovered"] += 1
        counters.resumed_ticks += len(missed.rows)
        self._outbox.control(
            frame(
                "resumed",
                id=self._message.id,
                symbol=name,
                key=str(key),
                recovered=not missed.reason,
                **({"reason": missed.reason} if missed.reason else {}),
                **({"retry": True} if missed.retry else {}),
                ticks=len(missed.rows),
            )
        )

    async def _resume(
        self, key: InstrumentKey, name: str, since: Since, newest: StreamPosition | None
    ) -> StreamPosition | None:
        missed = await self._history.missed_ticks(key, since, newest, is_current=self._is_current)
        self._send_resumed(key, name, missed)
        if missed.reason:
            return None
        at = since
        self._outbox.begin(str(key), StreamPosition(since.epoch, since.seq))
        while True:
            await self._deliver(missed.rows)
            at = Since(at.epoch, at.seq + len(missed.rows))
            sent = StreamPosition(at.epoch, at.seq)
            came = map(position_of, self._held[str(key)] or ())
            following = next((position for position in came if position > sent), None)
            if following is None or following.epoch != at.epoch or following.seq == at.seq + 1:
                return sent
            # More came meanwhile than could be held: it is in the log.
            await self._history.refresh()
            missed = await self._history.missed_ticks(key, at, following)
            if missed.reason:  # a gap, which the client must not take for nothing
                self._send_resumed(key, name, missed)
            if missed.reason or self._is_over():
                return sent

    async def _deliver(self, rows: list[LogRow]) -> None:
        """Hand ticks to the outbox, no faster than the client takes them."""
        room = most = self._outbox.high_water // 2
        for at, row in enumerate(rows):
            if at % _CHUNK == 0 or room < 0:
                await self._wait_for_room()
                room = most
            room -= len(row[FRAME])
            self._outbox.receiver(row[KEY])(PriceMessage(*row))

    async def _wait_for_room(self) -> None:
        """Return when the client has taken most of what was written, or is gone."""
        while self._outbox.is_behind and not self._is_over():  # noqa: ASYNC110 - two may change it
            await asyncio.sleep(_WAIT_S)
