"""Requested names: the instrument that clients and callers mean by a name, however it is spelled.

The one rule of all doors that read prices, for a name that the master does not have as written:

1. a name under which prices were published is the stream of that name (`stock:aapl`);
2. a name that differs from one of the master only in case, and from one alone, is that one;
3. a name that differs only so from one in upper case under which prices were published is that one;
4. any other is a stream of its own that may yet come, or is refused in strict mode.

Names that the master has need none of this: `index.resolve` finds them.
"""

import contextlib
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import redis.asyncio
from redis.exceptions import RedisError

from instruments.errors import InstrumentsError, UnknownSymbol
from instruments.index import index
from instruments.keys import InstrumentKey
from quotes.conf import conf
from quotes.runtime.time_slices import chunks
from quotes.store.latest import Wanted, published_keys, queue_published
from quotes.store.request_clients import request_client

PAGE = 200  # names that are looked up in Redis in one round trip
MOST_SUGGESTED = 10  # unknown names of one request that get suggestions


class Match(NamedTuple):
    """What a name was found to mean.

    Attributes:
        key: of the instrument.
        name: under which it is looked up, and its publishers' key read.
        is_unknown: neither the master nor Redis has the name; False as well where that cannot be
            said, since there is no master or Redis does not answer.
    """

    key: InstrumentKey
    name: str
    is_unknown: bool = False


class Unlisted:
    """A name that the master does not have as it is written, and what else it may mean.

    Args:
        key: of the name as it is written; None if that is refused, in strict mode.
    """

    __slots__ = ("in_capitals", "key", "listed", "name")

    listed: Wanted | None
    in_capitals: Wanted | None

    def __init__(self, name: str, key: InstrumentKey | None, segment: str) -> None:
        self.name = name
        self.key = key
        spellings = index.spellings(name, segment=segment)
        self.listed = self.in_capitals = None
        if len(spellings) == 1:
            self.listed = Wanted(spellings[0], _plain_name(spellings[0], segment))
        if key is not None and not spellings and (upper := name.upper()) != name:
            with contextlib.suppress(InstrumentsError):
                self.in_capitals = Wanted(index.resolve(upper, segment=segment), upper)

    @property
    def wanted(self) -> Iterator[Wanted]:
        """What decides, if it was published."""
        if self.key is not None:
            yield Wanted(self.key, self.name)
        if self.in_capitals is not None:
            yield self.in_capitals

    def match(self, published: set[InstrumentKey] | None, *, has_master: bool) -> Match | None:
        """Return what the name means; None: it is refused.

        Args:
            published: the instruments that were published, of those that all names `wanted`;
                None: Redis did not say.
        """
        if self.key is not None and published and self.key in published:
            return Match(self.key, self.name)
        if self.listed is not None:
            return Match(*self.listed)
        if self.in_capitals is not None and published and self.in_capitals.key in published:
            return Match(*self.in_capitals)
        if self.key is None:
            return None
        return Match(self.key, self.name, is_unknown=has_master and published is not None)


def _plain_name(key: InstrumentKey, segment: str) -> str:
    """Return an instrument's symbol, or its key's text where the symbol means another."""
    try:
        return key.symbol if index.resolve(key.symbol, segment=segment) == key else str(key)
    except InstrumentsError:
        return str(key)


def may_mean_another(name: str, *, has_master: bool) -> bool:
    """Return whether it is worth looking further for a name that the master does not have."""
    return has_master or name != name.upper()


# -- suggestions -----------------------------------------------------------------------------------


def suggestion_steps(
    names: Sequence[str], segment: str = ""
) -> Generator[None, None, dict[str, list[str]]]:
    """Return what unknown names may be meant for; yields between steps of some milliseconds.

    Of many names only the first get suggestions, the others none.
    """
    found: dict[str, list[str]] = {name: [] for name in names}
    suggestions = index.suggestions()
    while names and suggestions.prepare():
        yield
    for name in names[:MOST_SUGGESTED]:
        found[name] = suggestions.suggest(name, segment)
        yield
    return found


def suggest(names: Sequence[str]) -> dict[str, list[str]]:
    """As `suggestion_steps`, for threads."""
    steps = suggestion_steps(names)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: dict[str, list[str]] = end.value
            return found


def unknown_items(found: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """Return the items of `unknown` in an answer: names that nobody has, and what they may mean."""
    return [{"symbol": name, "suggestions": keys} for name, keys in found.items()]


# -- for threads -----------------------------------------------------------------------------------


class Resolved(NamedTuple):
    """The instruments of the names of a request.

    Attributes:
        wanted: name -> instrument, and the name of its publishers' key.
        errors: name -> why it has none.
        unknown: name -> suggestions, of names that neither the master nor Redis has.
    """

    wanted: dict[str, Wanted]
    errors: dict[str, InstrumentsError]
    unknown: dict[str, list[str]]


def resolve_names(names: Sequence[str]) -> Resolved:
    """Resolve the names of a request; Redis is read only if the master does not have all of them.

    If it does not answer, no name counts as published.
    """
    wanted: dict[str, Wanted] = {}
    errors: dict[str, InstrumentsError] = {}
    strict, has_master = conf.strict_symbols, len(index) > 0
    unlisted: list[Unlisted] = []
    for name in names:
        try:
            key = index.resolve(name, strict=strict)
            wanted[name] = Wanted(key, name)
        except UnknownSymbol as error:
            errors[name] = error
            unlisted.append(Unlisted(name, None, ""))
        except InstrumentsError as error:
            errors[name] = error
        else:
            if index.describe(key) is None and may_mean_another(name, has_master=has_master):
                unlisted.append(Unlisted(name, key, ""))
    if not unlisted:
        return Resolved(wanted, errors, {})
    published = _published([one for each in unlisted for one in each.wanted])
    unknown = []
    for each in unlisted:
        match = each.match(published, has_master=has_master)
        if match is not None:
            wanted[each.name] = Wanted(match.key, match.name)
            errors.pop(each.name, None)
        if match is None or match.is_unknown:
            unknown.append(each.name)
    suggestions = suggest(unknown)
    for name, reason in errors.items():
        reason.suggestions = suggestions.get(name)
    return Resolved(wanted, errors, suggestions)


def _published(wanted: Sequence[Wanted]) -> set[InstrumentKey] | None:
    """Return which instruments were published; None if Redis does not answer."""
    found: set[InstrumentKey] = set()
    try:
        with request_client() as client:
            for some in chunks(wanted, PAGE):
                pipeline = client.pipeline(transaction=False)
                queue_published(pipeline, some)
                found |= published_keys(some, pipeline.execute())
    except RedisError:
        return None
    return found


# -- for event loops -------------------------------------------------------------------------------


async def apublished(
    wanted: Sequence[Wanted], *, client: redis.asyncio.Redis
) -> set[InstrumentKey]:
    """Return which instruments were published, of at most PAGE; raise redis.RedisError."""
    pipeline = client.pipeline(transaction=False)
    queue_published(pipeline, wanted)
    return published_keys(wanted, await pipeline.execute())
