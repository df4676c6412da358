"""The frames that the server sends at /live-price, as types: what documents and tests check.

The server makes its frames of `protocol.frame` and `protocol.answer`, without these types. Tests
decode every frame that they receive as one of them, so a key that is missing here fails.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

Feed = Literal["live", "quiet", "down"]
Mode = Literal["ltp", "quote", "full"]
Milliseconds = Annotated[int, Meta(description="Unix milliseconds, UTC.")]
Key = Annotated[str, Meta(description="An instrument key: NSE_EQ:RELIANCE.")]
Price = dict[str, Any]


class ServerFrame(Struct, frozen=True, kw_only=True, tag_field="type", forbid_unknown_fields=True):
    """A frame that is no price."""


class Answer(ServerFrame, frozen=True, kw_only=True):
    """A frame that answers a message, with the message's `id` if it has one."""

    id: Annotated[str | int, Meta(description="The id of the message.")] | UnsetType = UNSET
    warnings: (
        Annotated[list[str], Meta(description="Keys of the message that are not read.")] | UnsetType
    ) = UNSET


class Rejection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A symbol of a message that is refused, and why."""

    symbol: str
    code: Annotated[int, Meta(description="A code of errors.")]
    message: str
    key: (
        Annotated[str, Meta(description="With 409: the instrument that the client has.")]
        | UnsetType
    ) = UNSET


class UnknownName(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A name that no instrument and no publisher has."""

    symbol: str
    suggestions: list[Key]


class ChainPosition(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An option chain, and by which price its strikes were chosen; a whole chain has no price."""

    segment: str
    underlying: str
    expiry: Annotated[str, Meta(description="A day: 2026-08-25.")]
    price_of: Key | UnsetType | None = UNSET
    price: float | UnsetType | None = UNSET
    timestamp: Milliseconds | UnsetType | None = UNSET
    strike: Annotated[float, Meta(description="The strike at the money.")] | UnsetType = UNSET
    follow: bool | UnsetType = UNSET


class SubscribedFrame(Answer, frozen=True, kw_only=True, tag="subscribed"):
    """The acknowledgement of `subscribe`: before any price of its symbols."""

    symbols: Annotated[list[str], Meta(description="Those subscribed to, as they were written.")]
    keys: (
        Annotated[dict[str, Key], Meta(description="The instrument of names that are no keys.")]
        | UnsetType
    ) = UNSET
    known: Annotated[bool, Meta(description="False if some are unknown.")] | UnsetType = UNSET
    unknown: list[UnknownName] | UnsetType = UNSET
    chain: ChainPosition | UnsetType = UNSET
    candles: Annotated[str, Meta(description="The interval of candles.")] | UnsetType = UNSET
    segments: Annotated[list[str], Meta(description="Whole segments.")] | UnsetType = UNSET
    instruments: Annotated[int, Meta(description="How many the segments have.")] | UnsetType = UNSET
    interval_ms: int | UnsetType = UNSET
    rejected: list[Rejection]
    subscriptions: Annotated[int, Meta(description="How many the connection has now.")]
    feed: Feed


class UnsubscribedFrame(Answer, frozen=True, kw_only=True, tag="unsubscribed"):
    """The acknowledgement of `unsubscribe`."""

    symbols: list[str]
    segments: list[str] | UnsetType = UNSET
    candles: str | UnsetType = UNSET
    rejected: list[Rejection]
    subscriptions: int


class SubscriptionsFrame(Answer, frozen=True, kw_only=True, tag="subscriptions"):
    """The answer to `list`: what the connection is subscribed to."""

    symbols: list[Key]
    segments: list[str] | UnsetType = UNSET
    subscriptions: int


class PongFrame(Answer, frozen=True, kw_only=True, tag="pong"):
    """The answer to `ping`."""

    timestamp: Milliseconds
    feed: Feed


class ConfiguredFrame(Answer, frozen=True, kw_only=True, tag="configured"):
    """The answer to `configure`: how the connection receives prices from now on."""

    mode: Mode
    batch: bool
    interval_ms: int
    seq: bool | UnsetType = UNSET


class MarketStatusFrame(Answer, frozen=True, kw_only=True, tag="market_status"):
    """What a segment is doing: the answer to `market_status`, and sent when it changes."""

    segment: str
    status: Annotated[
        str, Meta(description="open, pre_open, closing_auction, closed or holiday; others may come")
    ]
    name: Annotated[str, Meta(description="Of the holiday or special session, or empty.")]
    next_change: Milliseconds | None
    next_status: str


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the user's connections may do."""

    max_symbols: int
    max_segment_symbols: int | UnsetType = UNSET
    max_connections: int
    max_messages_per_s: float
    max_message_bytes: int


class AuthenticatedFrame(Answer, frozen=True, kw_only=True, tag="authenticated"):
    """The user of the connection: after a handshake with credentials, and after `authenticate`."""

    user: str
    expires: Annotated[int, Meta(description="The end of the token, Unix milliseconds.")]
    segments: Annotated[list[str], Meta(description="Those whose prices the user may see.")]
    delayed: (
        Annotated[dict[str, int], Meta(description="Segment to minutes, of delayed ones.")]
        | UnsetType
    ) = UNSET
    whole_segments: (
        Annotated[list[str], Meta(description="Those that may be subscribed to as a whole.")]
        | UnsetType
    ) = UNSET
    limits: Limits


class ErrorFrame(Answer, frozen=True, kw_only=True, tag="error"):
    """A message could not be carried out. The connection stays open."""

    code: Annotated[int, Meta(description="A code of errors.")]
    message: str
    incident: (
        Annotated[str, Meta(description="With 500: identifies the entry in the server's log.")]
        | UnsetType
    ) = UNSET


class HeartbeatFrame(ServerFrame, frozen=True, kw_only=True, tag="heartbeat"):
    """Sent after 15 s without another frame, and when the feed goes down or comes back."""

    timestamp: Milliseconds
    feed: Feed
    last_tick: Annotated[int, Meta(description="When the last tick arrived.")] | None


class ConflatedFrame(ServerFrame, frozen=True, kw_only=True, tag="conflated"):
    """The client reads more slowly than prices come: some were replaced by newer ones."""

    skipped: Annotated[int, Meta(description="How many prices were left out.", ge=1)]


class ReconnectFrame(ServerFrame, frozen=True, kw_only=True, tag="reconnect"):
    """The server stops. Connect again after this time, and resume; then it closes with 1012."""

    after_ms: Annotated[int, Meta(description="Milliseconds from now on.", ge=0)]


class StatusFrame(ServerFrame, frozen=True, kw_only=True, tag="status"):
    """The token is about to end, or what the user may see has changed."""

    status: Literal["token_expiring", "entitlements_changed"]
    expires: Milliseconds | UnsetType = UNSET
    segments: list[str] | UnsetType = UNSET
    delayed: dict[str, int] | UnsetType = UNSET
    dropped: (
        Annotated[list[str], Meta(description="Instruments and whole segments that ended.")]
        | UnsetType
    ) = UNSET


class ResumedFrame(Answer, frozen=True, kw_only=True, tag="resumed"):
    """Whether the ticks since a position follow, for one symbol of a `subscribe` with `since`."""

    symbol: str
    key: Key
    recovered: Annotated[bool, Meta(description="True: exactly the missed ticks follow.")]
    reason: Annotated[str, Meta(description="Why not.")] | UnsetType = UNSET
    retry: (
        Annotated[
            bool,
            Meta(description="True: they cannot be read just now. Resume again later."),
        ]
        | UnsetType
    ) = UNSET
    ticks: Annotated[int, Meta(description="How many follow.", ge=0)]


class HistoryFrame(Answer, frozen=True, kw_only=True, tag="history"):
    """The last ticks of one symbol of a `subscribe` with `history`."""

    symbol: str
    key: Key
    reason: Annotated[str, Meta(description="Why there are none.")] | UnsetType = UNSET
    ticks: list[Price]


class Bar(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Open, high, low and close over an interval."""

    start: Milliseconds
    ends: Milliseconds
    open: float
    high: float
    low: float
    close: float
    volume: int | None
    oi: int | None
    ticks: int
    final: Annotated[bool, Meta(description="Its time is over.")]
    revised: Annotated[bool, Meta(description="A late tick changed it after that.")]


class CandlesFrame(Answer, frozen=True, kw_only=True, tag="candles"):
    """The last candles of one symbol of a `subscribe` with `candles` and `history`."""

    symbol: str
    key: Key
    interval: str
    candles: list[Bar]


class CandleFrame(ServerFrame, frozen=True, kw_only=True, tag="candle"):
    """A candle that changed."""

    key: Key
    interval: str
    start: Milliseconds
    ends: Milliseconds
    open: float
    high: float
    low: float
    close: float
    volume: int | None
    oi: int | None
    ticks: int
    final: bool
    revised: bool


class ChainFrame(ServerFrame, frozen=True, kw_only=True, tag="chain"):
    """The money of an option chain is at another strike; with `follow` the subscriptions moved."""

    segment: str
    underlying: str
    expiry: str
    price_of: Key | None
    price: float | None
    timestamp: Milliseconds | None
    strike: float
    follow: bool
    added: list[Key]
    removed: list[Key]
    rejected: list[Rejection] | UnsetType = UNSET
    subscriptions: int


FRAMES: tuple[type[ServerFrame], ...] = (
    SubscribedFrame,
    UnsubscribedFrame,
    SubscriptionsFrame,
    PongFrame,
    ConfiguredFrame,
    MarketStatusFrame,
    AuthenticatedFrame,
    ErrorFrame,
    HeartbeatFrame,
    ConflatedFrame,
    ReconnectFrame,
    StatusFrame,
    ResumedFrame,
    HistoryFrame,
    CandlesFrame,
    CandleFrame,
    ChainFrame,
)
# `type` -> frame.
BY_TYPE: dict[str, type[ServerFrame]] = {str(kind.__struct_config__.tag): kind for kind in FRAMES}
# Action -> the frames that answer it, besides `error`.
ANSWERS: dict[str, tuple[type[ServerFrame], ...]] = {
    "subscribe": (SubscribedFrame, ResumedFrame, HistoryFrame, CandlesFrame),
    "unsubscribe": (UnsubscribedFrame,),
    "list": (SubscriptionsFrame,),
    "ping": (PongFrame,),
    "configure": (ConfiguredFrame,),
    "market_status": (MarketStatusFrame,),
    "authenticate": (AuthenticatedFrame,),
}


def read(text: str | bytes) -> ServerFrame:
    """Return the frame of a text that is no price.

    Raises:
        msgspec.ValidationError: it is not one of FRAMES.
    """
    kind = BY_TYPE.get(str(msgspec.json.decode(text).get("type")))
    if kind is None:
        raise msgspec.ValidationError(f"type must be one of {', '.join(BY_TYPE)}")
    return msgspec.json.decode(text, type=kind)
