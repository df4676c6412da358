"""Subscriptions to all instruments of a segment, those that the master gets later included."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Protocol

from instruments.errors import BadSegment
from instruments.index import index
from quotes.access.accounts import Limits
from quotes.errors import ProtocolError
from quotes.runtime.time_slices import Steps, chunks
from quotes.websocket.delivery.outbox import Outbox
from quotes.websocket.feed.feed import Feed
from quotes.websocket.feed.named_instruments import NamedInstrument
from quotes.websocket.protocol import (
    ErrorCode,
    Subscribe,
    Unsubscribe,
    answer,
    rejection,
)

# How often a client gets the newest prices of its segments, unless it has set an interval or wants
# every tick.
INTERVAL_MS = 250
# Instruments whose groups are joined and whose latest prices are read at a time.
_JOINED = 500
# Instruments that one step takes: well under a millisecond.
_STEP = 50


class Access(Protocol):
    """What a client may see, as far as whole segments are concerned."""

    @property
    def limits(self) -> Limits:
        """The client's limits."""

    def check_whole(self, segment: str) -> None:
        """Raise ProtocolError 403 unless the client may have a whole segment."""


class SegmentSubscriptions:
    """The segments of which one client gets all instruments.

    Prices are conflated unless the client asks for every tick: it gets the newest of each
    instrument four times a second. Its methods that wait are called one at a time, and may be
    cancelled.

    Args:
        requested: instrument key's text -> the instrument, of all that the client is subscribed to;
            changed here.
        begin: begins with the prices of instruments that were added to `requested`; when it raises
            ProtocolError, they are not there any more.
        leave: ends the subscriptions to instruments.
        is_over: whether the client has ended.

    Attributes:
        owned: segment -> the keys of the instruments that the client has by it alone.
    """

    def __init__(
        self,
        feed: Feed,
        outbox: Outbox,
        access: Access,
        *,
        requested: dict[str, NamedInstrument],
        begin: Callable[[list[NamedInstrument]], Awaitable[None]],
        leave: Callable[[Sequence[str]], Awaitable[None]],
        is_over: Callable[[], bool],
    ) -> None:
        self._feed = feed
        self._outbox = outbox
        self._access = access
        self._requested = requested
        self._begin = begin
        self._leave = leave
        self._is_over = is_over
        self._requests: dict[str, Subscribe] = {}  # segment -> the request that it comes from
        self.owned: dict[str, set[str]] = {}

    def __len__(self) -> int:
        return sum(map(len, self.owned.values()))

    def has(self, field: str) -> bool:
        """Return whether the client has an instrument by a segment alone."""
        return any(field in keys for keys in self.owned.values())

    def listed(self) -> dict[str, Any]:
        """Return what answers say of segments; nothing without any."""
        return {"segments": list(self.owned)} if self.owned else {}

    def forget(self, fields: Iterable[str]) -> None:
        """Note that the client left instruments."""
        for keys in self.owned.values():
            keys.difference_update(fields)

    async def add(self, message: Subscribe, *, count: Callable[[], int]) -> None:
        """Subscribe to segments: acknowledgement, latest prices, live prices.

        All of a segment or nothing: if its prices cannot be read, the client has none of it.

        Args:
            count: returns how many instruments the client is subscribed to by their names.

        Raises:
            ProtocolError: there is no such segment, or Redis does not answer.
        """
        taken, rejected = [], []
        for code in _segments_of(message):
            try:
                self._access.check_whole(code)
                if code in self.owned:
                    raise ProtocolError(ErrorCode.ALREADY_SUBSCRIBED, "already subscribed")
                self._check_room(code)
            except ProtocolError as error:
                rejected.append(rejection(f"{code}:*", error.code, str(error)))
                continue
            self.owned[code] = set()
            self._requests[code] = message
            taken.append(code)
        if taken:
            self._conflate(message)
        wanted = [(code, await self._take_new(code)) for code in taken]
        self._outbox.control(
            answer(
                message,
                "subscribed",
                symbols=[],
                segments=taken,
                instruments=sum(len(instruments) for _, instruments in wanted),
                interval_ms=self._outbox.interval_ms,
                rejected=rejected,
                subscriptions=count(),
                feed=self._feed.state.value,
            )
        )
        for code, instruments in wanted:
            await self._join(code, instruments)

    def _check_room(self, code: str) -> None:
        limit = self._access.limits.max_segment_symbols
        count = len(index.instruments(code))
        if not count:
            raise ProtocolError(
                ErrorCode.UNKNOWN_SYMBOL, f"the instrument master has no symbol of {code}"
            )
        if len(self) + count > limit:
            raise ProtocolError(
                ErrorCode.SYMBOL_LIMIT,
                f"a connection can have at most {limit} symbols of whole segments, {code} has "
                f"{count}",
            )

    def _conflate(self, message: Subscribe) -> None:
        """Let prices gather, unless the client wants every tick or has an interval."""
        outbox = self._outbox
        # Of so many instruments a walk over those that changed costs less here than for all.
        outbox.begin_change()
        outbox.interval_membership.route = None
        outbox.end_change()
        if message.conflate and not outbox.interval_ms:
            outbox.configure(batch=outbox.batch, interval_ms=INTERVAL_MS)

    async def _take_new(self, code: str) -> list[NamedInstrument]:
        """Add the instruments of a segment that the client has not; return them."""
        return await self._feed.slices.run(self._take_steps(code))

    def _take_steps(self, code: str) -> Steps[list[NamedInstrument]]:
        named, message = self._feed.instruments.named, self._requests[code]
        owned, found = self.owned[code], []
        for chunk in chunks(index.instruments(code), _STEP):
            for entry in chunk:
                key = entry.key
                field = str(key)
                if field not in self._requested:
                    one = self._requested[field] = named(key, field, "")
                    owned.add(field)
                    found.append(one)
                    self._outbox.want(field, mode=message.mode, every_tick=not message.conflate)
            yield
        return found

    async def _join(self, code: str, instruments: list[NamedInstrument]) -> None:
        try:
            for some in chunks(instruments, _JOINED):
                if self._is_over():
                    return
                async with self._feed.large_requests:
                    await self._begin([one for one in some if one.field in self._requested])
        except ProtocolError:
            await self.drop(code)
            raise

    async def drop(self, code: str) -> None:
        """End the subscription to a segment."""
        fields = list(self.owned.pop(code, ()))
        self._requests.pop(code, None)
        for some in chunks(fields, _JOINED):
            await self._feed.slices.call(lambda: None)  # others have their turn
            await self._leave([field for field in some if field in self._requested])

    async def remove(self, message: Unsubscribe, *, count: Callable[[], int]) -> None:
        """Unsubscribe from segments, and acknowledge."""
        removed, rejected = [], []
        for code in _segments_of(message):
            if code in self.owned:
                await self.drop(code)
                removed.append(code)
            else:
                rejected.append(rejection(f"{code}:*", ErrorCode.UNKNOWN_SYMBOL, "not subscribed"))
        self._outbox.control(
            answer(
                message,
                "unsubscribed",
                symbols=[],
                segments=removed,
                rejected=rejected,
                subscriptions=count(),
            )
        )

    async def reconsider(self) -> list[str]:
        """Drop the segments that the client may no longer have; return them, as `NSE_EQ:*`."""
        dropped = []
        for code in list(self.owned):
            try:
                self._access.check_whole(code)
            except ProtocolError:
                await self.drop(code)
                dropped.append(f"{code}:*")
        return dropped

    async def follow_master(self) -> None:
        """Begin with instruments that are new in the master, and leave those that are not in it."""
        for code in list(self.owned):
            there = {str(entry.key) for entry in index.instruments(code)}
            gone = list(self.owned[code] - there)
            await self._leave(gone)
            room = self._access.limits.max_segment_symbols - len(self)
            new = await self._take_new(code)
            if len(new) > room:
                await self._leave([one.field for one in new[max(0, room) :]])
                new = new[: max(0, room)]
            await self._join(code, new)


def _segments_of(message: Subscribe | Unsubscribe) -> tuple[str, ...]:
    """Return the segments that a request names; raise ProtocolError if there are none."""
    try:
        return index.segments_of(message.segment)
    except BadSegment as error:
        raise ProtocolError(ErrorCode.BAD_REQUEST, str(error)) from error
