"""Option chains: the options of an underlying that expire on one day, and their money; pure."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import NamedTuple, Protocol, TypeVar

from instruments import market, resolving
from instruments.keys import InstrumentKey
from instruments.sessions import today_in_india
from instruments.snapshot import OPTIONS, MasterEntry, MasterSnapshot
from instruments.spelling import segment_code
from instruments.underlyings import nearest_futures, root_of, spot

# The money moves to another strike once the price is nearer to it by this share of the distance
# between the two: a price that swings around the middle moves nothing.
_HYSTERESIS = Decimal("0.25")
# A price this much older than that of another source is not the underlying's any more.
MAX_PRICE_AGE_MS = 3_600_000


class Priced(Protocol):
    """A latest price."""

    @property
    def price(self) -> Decimal:
        """In rupees."""

    @property
    def timestamp(self) -> int:
        """Unix milliseconds."""


_Price = TypeVar("_Price", bound=Priced)


class Chain(NamedTuple):
    """The options of an underlying in one segment that expire on one day.

    Attributes:
        options: by strike, the call before the put.
        strikes: each once, in order.
        sources: the instruments whose price may be the underlying's, the best first.
    """

    segment: str
    underlying: str
    expiry: date
    options: list[MasterEntry]
    strikes: list[Decimal]
    sources: list[InstrumentKey]

    def around(self, strike: Decimal, count: int | None) -> list[InstrumentKey]:
        """Return the options of a strike and so many on either side; None: of all."""
        options = self.options
        if count is not None:
            at = self.strikes.index(strike)
            near = set(self.strikes[max(0, at - count) : at + count + 1])
            options = [one for one in options if one.strike in near]
        return [one.key for one in options]

    def money(self, price: Decimal | None, now_at: Decimal | None = None) -> Decimal:
        """Return the strike at the money: the lower of two; the middle where no price is known.

        Args:
            now_at: the strike at the money so far, which gives way only to one that is clearly
                nearer.
        """
        if price is None:
            return self.strikes[(len(self.strikes) - 1) // 2]
        nearest = min(self.strikes, key=lambda strike: (abs(strike - price), strike))
        if now_at is None or now_at not in self.strikes:
            return nearest
        margin = abs(nearest - now_at) * _HYSTERESIS
        # Twice the margin is the difference of the distances at which the price is past the middle
        # by the margin.
        closer = abs(now_at - price) - abs(nearest - price)
        return nearest if closer > 2 * margin else now_at


def find_chain(
    snapshot: MasterSnapshot,
    underlying: str,
    *,
    segment: str = "",
    expiry: date | None = None,
    today: date | None = None,
) -> Chain | None:
    """Return an option chain; None where the master has no such options.

    Args:
        underlying: as the contracts' symbols begin, in any case; or a name of its index or share.
        segment: a segment's code or alias; of several, or all, the first that has the underlying.
        expiry: the day of expiry; the nearest that is not past where none is given.
        today: the Indian date, for tests.

    Raises:
        BadSegment: the segment is neither a segment nor an alias of one.
    """
    codes: Iterable[str] = market.DERIVATIVE_SEGMENTS
    if segment:
        routes = resolving.routes_of(snapshot, segment_code(snapshot, segment))
        codes = [code for route in routes for code in route.segments]
    for code in codes:
        root = root_of(snapshot, code, underlying)
        entries = snapshot.chains.get(code, {}).get(root, ())
        options = [one for one in entries if one.instrument_type in OPTIONS]
        if options:
            return _chain(snapshot, code, root, options, expiry, today or today_in_india())
    return None


def _chain(
    snapshot: MasterSnapshot,
    segment: str,
    root: str,
    options: list[MasterEntry],
    expiry: date | None,
    today: date,
) -> Chain | None:
    if expiry is None:
        days = (one.expiry for one in options if one.expiry and one.expiry >= today)
        expiry = min(days, default=None)
    options = [one for one in options if one.expiry == expiry]
    strikes = sorted({one.strike for one in options if one.strike is not None})
    if expiry is None or not strikes:
        return None
    sources = price_sources(snapshot, segment, root, expiry, today)
    return Chain(segment, root, expiry, options, strikes, sources)


def price_sources(
    snapshot: MasterSnapshot, segment: str, underlying: str, expiry: date, today: date | None = None
) -> list[InstrumentKey]:
    """Return the instruments whose price may be an underlying's, the best first.

    Its index or share; a stream of its name that is in no master (a currency's or a commodity's
    spot); its nearest future, before it the one that trades until the options expire.
    """
    found: dict[InstrumentKey, None] = {}
    entry = spot(snapshot, segment, underlying)
    if entry is not None:
        found[entry.key] = None
    if snapshot.primary(underlying) is None:
        found[InstrumentKey("", underlying)] = None
    futures = nearest_futures(snapshot, segment, underlying, today)
    lasting = [one for one in futures if one.expiry and one.expiry >= expiry]
    if entry is None:
        futures = [*lasting[:1], *futures]
    for future in futures[:2]:
        found[future.key] = None
    return list(found)


def newest_source(
    sources: Sequence[InstrumentKey], prices: Mapping[InstrumentKey, _Price]
) -> tuple[InstrumentKey, _Price] | None:
    """Return the best source that has a price, and that; None if none has.

    A price that is much older than that of another source is passed over.
    """
    priced = [(key, prices[key]) for key in sources if key in prices]
    if not priced:
        return None
    newest = max(price.timestamp for _, price in priced)
    return next(one for one in priced if one[1].timestamp >= newest - MAX_PRICE_AGE_MS)
