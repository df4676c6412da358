"""What a client wants to be subscribed to: names of subscriptions, and the streams behind them."""

import enum
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from live_price.errors import SymbolError
from live_price.positions import Position

_MODES = ("ltp", "quote", "full")


class Sink(Protocol):
    """A subscription, as far as the registry is concerned."""

    def put(self, label: object, event: Any) -> None:
        """Take an event; of those with one label only the newest has to stay."""

    def settle(self) -> None:
        """Take note that names were accepted or refused."""


@dataclass(frozen=True)
class Options:
    """How the names of one subscription are subscribed."""

    mode: str | None = None
    conflate: bool = True
    candles: str = ""
    history: int = 0
    resume: bool = True
    segment: str = ""

    def with_more(self, other: "Options") -> "Options":
        """Return these options so that the prices of the other ones are among the prices of these.

        The richer mode counts (none is that of the connection, and counts as all fields), and every
        tick for both if one wants it.
        """
        mode = None
        if self.mode is not None and other.mode is not None:
            mode = max(self.mode, other.mode, key=_MODES.index)
        return replace(self, mode=mode, conflate=self.conflate and other.conflate)


@dataclass(frozen=True)
class ChainRequest:
    """An option chain."""

    underlying: str
    expiry: str | None = None
    segment: str = ""
    strikes_around: int | None = None
    follow: bool = False

    def values(self) -> dict[str, Any]:
        found: dict[str, Any] = {"underlying": self.underlying}
        for name in ("expiry", "segment", "strikes_around"):
            if (value := getattr(self, name)) not in (None, ""):
                found[name] = value
        return {**found, "follow": True} if self.follow else found


class RouteState(enum.Enum):
    NEW = "new"  # to be sent
    SENT = "sent"  # without an answer yet
    ON = "on"
    REJECTED = "rejected"


@dataclass(eq=False)
class Route:
    """One name of one subscription, or one of its option chains.

    Attributes:
        streams: one, or those of an option chain.
        is_dropped: its subscription does not want it any more.
    """

    sink: Sink
    name: str
    options: Options
    chain: ChainRequest | None = None
    state: RouteState = RouteState.NEW
    streams: set["Stream"] = field(default_factory=set)
    chain_id: tuple[Any, ...] = ()
    error: SymbolError | None = None
    is_dropped: bool = False


@dataclass(eq=False)
class Stream:
    """An instrument's prices, or its candles of one interval.

    Attributes:
        owner: the route by which the server has it; None: the server does not have it.
        candle: start and values of the last candle.
        waiting: routes that wait for the newest price once more, in a richer mode.
        is_richer: what comes is in the mode that they wait for.
        is_upgraded: it is subscribed again for the richer mode, not after a loss.
        repeated: ticks that were given and come once more with the missed ones.
    """

    candles: str
    key: str
    position: Position = field(default_factory=Position)
    routes: list[Route] = field(default_factory=list)
    owner: Route | None = None
    last: dict[str, Any] | None = None
    candle: dict[str, Any] | None = None
    waiting: set[Route] = field(default_factory=set)
    is_richer: bool = False
    is_upgraded: bool = False
    repeated: int = 0

    def resume_from(self) -> dict[str, int] | None:
        """Return the position to send as `since`; None if nothing numbered came."""
        since = self.position.since
        self.repeated = 1 if self.waiting and since and since["seq"] > 0 else 0
        return {**since, "seq": since["seq"] - self.repeated} if since else None

    def end_waiting(self) -> None:
        self.is_richer = False
        self.waiting.clear()
