"""Catching up: what a client is sent of the past before its prices are live.

Either what it missed since it was here last (`since`), tick by tick, or the last ticks there were
(`history`); what is live follows with no gap and no repeat.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from instruments.keys import InstrumentKey
from quotes.conf import conf
from quotes.errors import ProtocolError
from quotes.store.positions import StreamPosition
from quotes.store.tick_log import EPOCH, SEQ, LogRow, tick_message
from quotes.websocket.delivery.outbox import Outbox
from quotes.websocket.feed.past import Past
from quotes.websocket.feed.positions import position_of
from quotes.websocket.protocol import ErrorCode, Since, Subscribe, frame

# Ticks put before a client at once; then it is waited for.
CHUNK = 200
WAIT_S = 0.01

Event = dict[str, Any]


class CatchingUp:
    """Sends one client the past of the instruments of one subscription.

    Args:
        held: instrument key -> what came since the groups were joined.
        is_over: says whether the client is gone.
    """

    def __init__(
        self,
        past: Past,
        outbox: Outbox,
        message: Subscribe,
        *,
        held: dict[str, list[Event]],
        is_over: Callable[[], bool],
    ) -> None:
        self.past = past
        self.outbox = outbox
        self.message = message
        self.held = held
        self.is_over = is_over
        self.count = (message.history.ticks or 0) if message.history else 0
        if self.count > conf.history_max_ticks:
            raise ProtocolError(
                ErrorCode.BAD_REQUEST,
                f"history has at most {conf.history_max_ticks} ticks, was {self.count}",
            )
        self.since = {name: message.since_of(name) for name in message.names}

    @property
    def is_wanted(self) -> bool:
        """Whether the subscription asks for anything of the past."""
        return bool(self.count or any(self.since.values()))

    async def send(
        self, key: InstrumentKey, name: str, newest: StreamPosition | None
    ) -> StreamPosition | None:
        """Send an instrument's past.

        Args:
            name: as the client asked for it.
            newest: the position of the newest tick known since its group was joined.

        Returns:
            The position of the last tick sent; None when the latest price is still to be sent.
        """
        since = self.since.get(name)
        if since is not None:
            return await self.resume(key, name, since, newest)
        if self.count:
            rows = await self.past.last(key, self.count, newest)
            await self.room()
            self.tell_history(key, name, rows)
            return StreamPosition(rows[-1][EPOCH], rows[-1][SEQ]) if rows else None
        return None

    def send_late(self, key: InstrumentKey, name: str, minutes: int) -> None:
        """Say of an instrument whose prices come late that its past is not sent here."""
        if self.since.get(name) is not None:
            self.tell_resumed(key, name, f"prices of it come {minutes} minutes late", 0)
        elif self.count:
            self.tell_history(key, name, [])

    def tell_history(self, key: InstrumentKey, name: str, rows: list[LogRow]) -> None:
        texts = [self.outbox.framing.text(tick_message(*row)) for row in rows]
        head = frame("history", id=self.message.id, symbol=name, key=str(key)).decode()
        self.outbox.control(f'{head[:-1]},"ticks":[{",".join(texts)}]}}'.encode())

    def tell_resumed(self, key: InstrumentKey, name: str, reason: str, ticks: int) -> None:
        self.outbox.control(
            frame(
                "resumed",
                id=self.message.id,
                symbol=name,
                key=str(key),
                recovered=not reason,
                **({"reason": reason} if reason else {}),
                ticks=ticks,
            )
        )

    async def resume(
        self, key: InstrumentKey, name: str, since: Since, newest: StreamPosition | None
    ) -> StreamPosition | None:
        missed = await self.past.missed(key, since, newest)
        self.tell_resumed(key, name, missed.reason, len(missed.rows))
        if missed.reason:
            return None
        at = since
        while True:
            await self.deliver(missed.rows)
            at = Since(at.epoch, at.seq + len(missed.rows))
            sent = StreamPosition(at.epoch, at.seq)
            came = map(position_of, self.held[str(key)])
            following = next((position for position in came if position > sent), None)
            if following is None or following.epoch != at.epoch or following.seq == at.seq + 1:
                return sent
            # So much came meanwhile that not all of it could be held: it is in the log.
            await self.past.refresh()
            missed = await self.past.missed(key, at, following)
            if missed.reason or self.is_over():
                return sent

    async def deliver(self, rows: list[LogRow]) -> None:
        """Put ticks before the client, no faster than it takes them."""
        for begin in range(0, len(rows), CHUNK):
            await self.room()
            for row in rows[begin : begin + CHUNK]:
                self.outbox.price(tick_message(*row))

    async def room(self) -> None:
        """Return when the client has taken most of what was put before it, or is gone."""
        while self.outbox.is_behind and not self.is_over():  # noqa: ASYNC110 - two may change it
            await asyncio.sleep(WAIT_S)
