"""The greeks of an option chain: by which price, model and expiry they are computed."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from typing import NamedTuple

from instruments.chains import MAX_PRICE_AGE_MS, newest_source
from instruments.greeks import Greeks, Terms, greeks
from instruments.index import index
from instruments.keys import InstrumentKey
from instruments.latest import PublishedPrice
from instruments.loading import load_hours
from instruments.models import Instrument
from instruments.sessions import IST, Hours, trading_hours
from instruments.underlyings import nearest_futures, spot

BLACK_76, BLACK_SCHOLES = "black-76", "black-scholes"

_YEAR_MS = 365 * 86_400_000
_USUAL_CLOSE = time(15, 30)


class Underlying(NamedTuple):
    """An instrument whose price options are valued by, and the model that fits it."""

    key: InstrumentKey
    model: str


class Valuation(NamedTuple):
    """What all options of a chain are valued by.

    Attributes:
        price: of the underlying; the greeks are those of its moment.
        expires: when the options expire.
        rate: of interest, yearly, as a fraction.
    """

    underlying: Underlying
    price: PublishedPrice
    expires: datetime
    rate: float

    @property
    def years(self) -> float:
        """From the moment of the underlying's price to the expiry; negative once that is past."""
        return (self.expires.timestamp() * 1000 - self.price.timestamp) / _YEAR_MS

    def greeks(self, option: Instrument, price: PublishedPrice | None) -> Greeks | None:
        """Return the greeks of an option at its price; None if they cannot be computed.

        A price that is more than an hour from the underlying's is that of another market.
        """
        if price is None or option.strike is None:
            return None
        if abs(price.timestamp - self.price.timestamp) > MAX_PRICE_AGE_MS:
            return None
        terms = Terms(
            is_call=option.instrument_type == "CE",
            underlying=float(self.price.price),
            strike=float(option.strike),
            years=self.years,
            rate=self.rate,
            carry=0.0 if self.underlying.model == BLACK_76 else self.rate,
        )
        return greeks(terms, float(price.price))


def underlyings_of(segment: str, root: str, expiry: date) -> list[Underlying]:
    """Return the instruments whose price options can be valued by, the best first.

    The future that expires on the same day, which is what the options settle on; the index or
    share; the first future that trades longer, which is what options of commodities are on.
    """
    snapshot = index.snapshot
    futures = nearest_futures(snapshot, segment, root, expiry)
    found = [Underlying(one.key, BLACK_76) for one in futures if one.expiry == expiry]
    entry = spot(snapshot, segment, root)
    if entry is not None:
        found.append(Underlying(entry.key, BLACK_SCHOLES))
    else:
        found += [Underlying(one.key, BLACK_76) for one in futures[:1] if one.expiry != expiry]
    return found


def best_underlying(
    underlyings: Sequence[Underlying], prices: Mapping[InstrumentKey, PublishedPrice]
) -> tuple[Underlying, PublishedPrice] | None:
    """Return the best one with a price that is not much older than another's; see newest_source."""
    best = newest_source([one.key for one in underlyings], prices)
    if best is None:
        return None
    return next(one for one in underlyings if one.key == best[0]), best[1]


def expiry_moment(segment: str, expiry: date) -> datetime:
    """Return when a segment's options that expire on a day do so: at its close, by the calendar.

    On a day without trading, which the calendar may have learnt after the contracts were made:
    15:30 in India.
    """
    hours = load_hours([segment], first_day=expiry).get(segment, Hours())
    traded = trading_hours(hours, expiry)
    closes = traded[1] if traded else _USUAL_CLOSE
    return datetime.combine(expiry, closes, IST).astimezone(UTC)
