"""What a client is given: ticks, candles and events. They cannot be changed.

Numbers are `float`, or with `exact=True` `Decimal` with the digits that were published; `N` stands
for the one or the other. Times are Unix milliseconds, UTC.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Generic, Literal, TypeVar

from live_price.errors import PriceError

N = TypeVar("N", bound=float | Decimal)

State = Literal["connecting", "open", "waiting", "closed"]
Feed = Literal["live", "quiet", "down"]
Mode = Literal["ltp", "quote", "full"]


@dataclass(frozen=True, slots=True)
class DepthEntry(Generic[N]):
    """The orders at one price."""

    price: N
    quantity: N | int
    orders: int | None = None


@dataclass(frozen=True, slots=True)
class Depth(Generic[N]):
    """The best orders of each side, the best price first."""

    buy: tuple[DepthEntry[N], ...] = ()
    sell: tuple[DepthEntry[N], ...] = ()


@dataclass(frozen=True, slots=True)
class Tick(Generic[N]):
    """One price.

    Attributes:
        name: the name by which it was subscribed.
        symbol: as the exchange spells it.
        key: the instrument key, such as `NSE_EQ:RELIANCE`; the symbol alone without a segment.
        prev_close: the close of the last session before.
        change, change_pct: from `prev_close`, in rupees and in percent.
        epoch, seq: its number in its stream; epoch 0 if it has none yet.
        past: it comes from the history that was asked for, not live.
        extra: all other keys that were published.
    """

    name: str
    symbol: str
    key: str
    price: N
    timestamp: int
    segment: str = ""
    volume: N | int | None = None
    oi: N | int | None = None
    open: N | None = None
    high: N | None = None
    low: N | None = None
    prev_close: N | None = None
    change: N | None = None
    change_pct: N | None = None
    bid: N | None = None
    ask: N | None = None
    depth: Depth[N] | None = None
    epoch: int = 0
    seq: int = 0
    past: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Candle(Generic[N]):
    """One candle, as it was when it came.

    Attributes:
        start, ends: Unix milliseconds.
        final: its time is over.
        revised: a late tick changed it after that.
        past: it comes from history, not live.
    """

    name: str
    key: str
    interval: str
    start: int
    ends: int
    open: N
    high: N
    low: N
    close: N
    volume: N | int | None
    oi: N | int | None
    final: bool
    revised: bool
    past: bool = False


# -- events of a subscription ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Subscribed:
    """A name is subscribed; on each connection again.

    Attributes:
        known: False if neither the instrument master nor a publisher has the name.
        suggestions: instrument keys that may be meant.
    """

    name: str
    key: str
    known: bool = True
    suggestions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Recovered:
    """A name is subscribed again after a loss: what of the time between was recovered.

    Attributes:
        recovered: every missed tick follows. Otherwise the latest price follows, and `reason` says
            why the others do not.
        ticks: how many missed ticks, or candles, follow.
    """

    symbol: str
    key: str
    recovered: bool
    ticks: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class History(Generic[N]):
    """The past of a name that was asked for; a loop over prices yields each of them.

    Attributes:
        reason: why there is none.
    """

    name: str
    key: str
    ticks: tuple[Tick[N], ...] = ()
    candles: tuple[Candle[N], ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ChainMoved:
    """The money of an option chain is at another strike.

    Attributes:
        values: the frame, as docs/protocol.md describes it.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Conflated:
    """Prices were left out, the newest of each symbol was not.

    Attributes:
        skipped: how many.
        by: `server`: this client reads its connection too slowly; `client`: the loop over a
            subscription is too slow for its buffer.
    """

    skipped: int
    by: Literal["server", "client"] = "server"


# -- events of a client ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reconnect:
    """The server stops; the client connects to it or another again after this time, and resumes."""

    after_ms: int


@dataclass(frozen=True, slots=True)
class StateChange:
    """The connection is in another state.

    Attributes:
        retry_at: when the next attempt starts, Unix milliseconds; only with `waiting`.
        error: why the connection ended; with `waiting` and `closed`.
    """

    state: State
    retry_at: int | None = None
    error: PriceError | None = None


@dataclass(frozen=True, slots=True)
class FeedChange:
    """The path of ticks to the server works (`live`), is without ticks (`quiet`), or is `down`."""

    feed: Feed


@dataclass(frozen=True, slots=True)
class ClientError:
    """An error that belongs to no request, or a token callback that failed."""

    error: PriceError


@dataclass(frozen=True, slots=True)
class Authenticated:
    """The server knows the user.

    Attributes:
        expires: when the token ends, Unix milliseconds; None if it does not.
        delayed: segment -> minutes by which its prices are delayed.
    """

    user: str
    expires: int | None
    segments: tuple[str, ...]
    delayed: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Entitlements:
    """The user may see other segments now; `dropped` lists instrument keys."""

    segments: tuple[str, ...]
    dropped: tuple[str, ...]
    delayed: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class MarketStatus:
    """Whether a segment trades.

    Attributes:
        status: `open`, `pre_open`, `closing_auction`, `closed` or `holiday`.
        name: of the holiday or special session.
        next_change: Unix milliseconds, or None.
    """

    segment: str
    status: str
    name: str
    next_change: int | None
    next_status: str


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame as it came, for what this library does not know."""

    values: Mapping[str, Any]
