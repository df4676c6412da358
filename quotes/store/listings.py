"""Listings: which instrument a publisher's tick is of, by its name, symbol and segment.

The one place that answers this, so that all ways in and all readers agree: a share of two exchanges
is two instruments, and neither may get the price of the other. A price that the instrument cannot
have is refused here too.
"""

from instruments.conf import conf as instruments_conf
from instruments.errors import BadSegment
from instruments.index import index
from instruments.keys import InstrumentKey
from instruments.prices import is_above_zero
from quotes.errors import BadTick, quoted
from quotes.ticks import Tick

# Stands for the symbol of a tick that names none.
UNNAMED = "unnamed tick, of its channel's symbol"
# The bridge takes no more names either: more come from a faulty publisher.
_MAX_NAMES = 500_000


def published_key(name: str, tick: Tick) -> InstrumentKey:
    """Return the instrument of a tick that was published under a name.

    Raises:
        BadTick: the tick's symbol is not that of its name, or its price is no trade.
        InstrumentsError: no instrument can have this name.
    """
    key = _key_of(name, "" if ":" in name else tick.segment)
    if tick.symbol not in (UNNAMED, name, key.symbol):
        other = _key_of(tick.symbol, key.segment)
        if other != key:
            if tick.segment:
                # If this is no segment, that is the reason.
                index.resolve(tick.symbol, segment=tick.segment)
            raise BadTick(f"symbol must be the channel's, got {quoted(tick.symbol)}")
    check_price(key, tick)
    return key


def check_price(key: InstrumentKey, tick: Tick) -> None:
    """Check that the price of an instrument's tick is one at which it can be traded.

    Raises:
        BadTick: it is 0 or negative, and the instrument is a share, an index or an option.
    """
    if tick.is_from_zero_down and is_above_zero(key):
        raise BadTick(
            "price must be above 0 (that of a share, an index or an option at 0 is no trade), "
            f"got {tick.price_text}"
        )


def _key_of(name: str, segment: str) -> InstrumentKey:
    try:
        return index.resolve(name, segment=segment)
    except BadSegment:
        return index.resolve(name)  # the tick has some key `segment` of the publisher's own


class AcceptedNames:
    """Checks the names of many ticks, each once; clear it when the instrument master changes.

    Attributes:
        accepted: names whose symbol is the name, and pairs of name and symbol of all others.
    """

    def __init__(self) -> None:
        self.accepted: set[str | tuple[str, str]] = set()

    def check(self, name: str, tick: Tick | None) -> None:
        """Check that a tick may be published under a name.

        Args:
            tick: None: its symbol is the name, it has no segment, and its price is above 0.

        Raises:
            BadTick, InstrumentsError: as by `published_key`.
        """
        accepted = name if tick is None or tick.symbol == name else (name, tick.symbol)
        if accepted in self.accepted and (tick is None or not tick.is_from_zero_down):
            return
        if tick is None:
            index.resolve(name)
        else:
            published_key(name, tick)
        if len(self.accepted) >= _MAX_NAMES:
            self.accepted.clear()
        self.accepted.add(accepted)

    def clear(self) -> None:
        self.accepted.clear()


def read_master() -> None:
    """Read the instrument master once, for a command that looks up names."""
    if instruments_conf.follow_master:
        index.refresh()
