"""Naming: the instruments that the names of a client's request mean, and which names nobody has.

Names that the master has as written take a look-up in a table. The others are looked up in Redis,
as `quotes/store/requested_names.py` says, and get suggestions within a budget: no client can keep
the server busy with names that do not exist.
"""

import time
from collections.abc import Container, Iterator, Sequence
from typing import Any, NamedTuple

from redis.exceptions import RedisError

from instruments.errors import InstrumentsError, UnknownSymbol
from instruments.index import index
from instruments.keys import InstrumentKey
from quotes.conf import conf
from quotes.runtime.time_slices import Steps, chunks
from quotes.store.requested_names import (
    PAGE,
    Unlisted,
    apublished,
    may_mean_another,
    suggestion_steps,
    unknown_items,
)
from quotes.websocket.feed.feed import Feed
from quotes.websocket.feed.named_instruments import NamedInstrument, NamedInstruments

# Names that one step takes: well under a millisecond, or a few where they are new here.
_STEP = 50
_STEP_UNLISTED = 10  # each is looked up in several spellings


class NamedRequest(NamedTuple):
    """The names of a request, each with its instrument or why it has none, in their order.

    Attributes:
        segment: that narrows them, as the server writes it.
        unknown: items of `unknown` in the answer.
    """

    names: Sequence[str]
    found: Sequence[NamedInstrument | InstrumentsError]
    segment: str
    unknown: list[dict[str, Any]]

    def answer(self) -> dict[str, Any]:
        """Return what the acknowledgement says of names that nobody has."""
        return {"known": False, "unknown": self.unknown} if self.unknown else {}


async def find_instruments(
    feed: Feed,
    names: Sequence[str],
    segment: str,
    *,
    subscribed: Container[str],
    room: int,
    known_only: bool = False,
) -> NamedRequest:
    """Return the instruments of a request's names.

    Args:
        subscribed: the instruments that the client has; their names are not looked up further.
        room: how many more it may have; of more unlisted names the rest is not looked up further.
        known_only: whether a name that nobody has is an error, rather than a stream that may come.

    Redis is read if the master does not have all of them; while it does not answer, no name counts
    as published, or as unknown.
    """
    segment = index.segment_code(segment)
    steps = _find(feed.instruments, names, segment, subscribed, room)
    found, unlisted = await feed.slices.run(steps)
    if not unlisted:
        return NamedRequest(names, found, segment, [])
    published = await _published(feed, unlisted)
    unknown = await feed.slices.run(_match(feed.instruments, segment, found, unlisted, published))
    if known_only and unknown:
        _refuse(set(unknown), found, unlisted)
    if unknown and not feed.suggestion_budget.take(time.monotonic()):
        return NamedRequest(names, found, segment, unknown_items({name: [] for name in unknown}))
    suggested = await feed.slices.run(suggestion_steps(unknown, segment))
    return NamedRequest(names, found, segment, unknown_items(suggested))


_Found = list[NamedInstrument | InstrumentsError]
_UnlistedNames = dict[int, Unlisted]  # position in the request -> the name


def _find(
    instruments: NamedInstruments,
    names: Sequence[str],
    segment: str,
    subscribed: Container[str],
    room: int,
) -> Steps[tuple[_Found, _UnlistedNames]]:
    """Return what the names mean as they are written, and those that the master does not have."""
    found: _Found = []
    unlisted: _UnlistedNames = {}
    strict, has_master = conf.strict_symbols, len(index) > 0
    for chunk in chunks(names, _STEP):
        missing = 0
        for name, one in zip(chunk, instruments.found(chunk, segment, strict=strict), strict=True):
            key: InstrumentKey | None = None
            if one is not None and one.is_listed:
                found.append(one)
                continue
            try:
                one = one or instruments.find(name, segment, strict=strict)
                found.append(one)
                key = one.key
                if (
                    one.is_listed
                    or one.field in subscribed
                    or not may_mean_another(name, has_master=has_master)
                ):
                    continue
            except InstrumentsError as error:
                found.append(error)
                if not isinstance(error, UnknownSymbol):
                    continue
            if len(unlisted) >= room:
                continue
            unlisted[len(found) - 1] = Unlisted(name, key, segment)
            missing += 1
            if not missing % _STEP_UNLISTED:
                yield
        yield
    return found, unlisted


async def _published(feed: Feed, unlisted: _UnlistedNames) -> set[InstrumentKey] | None:
    """Return which instruments were published; None if Redis does not answer."""
    wanted = [one for each in unlisted.values() for one in each.wanted]
    published: set[InstrumentKey] = set()
    try:
        for some in chunks(wanted, PAGE):
            async with feed.requests.answer() as client:
                published |= await apublished(some, client=client)
    except (RedisError, OSError):
        return None
    return published


def _match(
    instruments: NamedInstruments,
    segment: str,
    found: _Found,
    unlisted: _UnlistedNames,
    published: set[InstrumentKey] | None,
) -> Steps[list[str]]:
    """Put what the names mean into `found`; return those that nobody has."""
    unknown = []
    has_master = len(index) > 0
    for chunk in chunks(list(unlisted.items()), _STEP):
        for at, each in chunk:
            match = each.match(published, has_master=has_master)
            if match is None or match.is_unknown:
                unknown.append(each.name)
            elif match.key != each.key:
                found[at] = instruments.find(match.name, segment, strict=False)
        yield
    return unknown


def _refuse(unknown: Container[str], found: _Found, unlisted: _UnlistedNames) -> None:
    """Put an error into `found` for each name that nobody has."""
    for at, each in unlisted.items():
        if each.name in unknown:
            found[at] = UnknownSymbol("neither the instrument master nor a publisher has it")


def subscribed_as(
    instruments: NamedInstruments, name: str, segment: str
) -> Iterator[NamedInstrument]:
    """Yield the instruments that a subscribed name may mean, the likeliest first.

    Raises:
        InstrumentsError: it is not a name.
    """
    one = instruments.find(name, segment, strict=False)
    yield one
    if one.is_listed:
        return
    each = Unlisted(name, one.key, segment)
    if each.listed is not None:
        yield instruments.find(each.listed.name, segment, strict=False)
    if each.in_capitals is not None:
        yield instruments.find(each.in_capitals.name, segment, strict=False)
