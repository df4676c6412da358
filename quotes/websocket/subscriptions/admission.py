"""Admission: which of the names in a request a client is subscribed to, and why not to others."""

from collections.abc import Container, Sized
from typing import Any, NamedTuple, Protocol

from instruments.errors import InstrumentsError
from instruments.keys import InstrumentKey
from quotes.errors import ProtocolError
from quotes.runtime.time_slices import Steps, chunks
from quotes.websocket.feed.named_instruments import NamedInstrument
from quotes.websocket.protocol import ErrorCode, rejection
from quotes.websocket.subscriptions.naming import NamedRequest

# Names that one step takes: well under a millisecond.
_STEP = 50


class Subscribed(Container[str], Sized, Protocol):
    """The instrument keys that a client is subscribed to."""


class Access(Protocol):
    """What a client may see, as far as admission is concerned."""

    @property
    def max_symbols(self) -> int:
        """How many instruments a connection may be subscribed to."""

    def delay_of(self, key: InstrumentKey) -> int:
        """Return by how many minutes an instrument is delayed; raise ProtocolError 403."""


class Admission(NamedTuple):
    """The answer to the names of a request.

    Attributes:
        wanted: what to subscribe to.
        names: the names of these, as the client wrote them.
        rejected: the items of `rejected`.
        repeated: name -> what the client has already, and may ask for again.
    """

    wanted: list[NamedInstrument]
    names: list[str]
    rejected: list[dict[str, Any]]
    repeated: dict[str, NamedInstrument]


def admit(
    request: NamedRequest,
    *,
    subscribed: Subscribed,
    access: Access,
    allow_delayed: bool = True,
    uncounted: int = 0,
    allow_repeated: bool = False,
) -> Steps[Admission]:
    """Return what names are admitted; yields between steps.

    Args:
        request: the names, and what they mean.
        subscribed: the instruments that the client has already; they count for its limit.
        access: what the client may see.
        allow_delayed: whether that may be delayed prices.
        uncounted: how many of `subscribed` do not count for the limit.
        allow_repeated: whether the client may ask for what it has already.
    """
    wanted: dict[str, NamedInstrument] = {}
    repeated: dict[str, NamedInstrument] = {}
    admitted, rejected = [], []
    limit = access.max_symbols
    room = limit + uncounted - len(subscribed)
    delays: dict[str, int] = {}  # segment -> delay in minutes, of those that the client may see
    for chunk in chunks(list(zip(request.names, request.found, strict=True)), _STEP):
        for name, one in chunk:
            try:
                if isinstance(one, InstrumentsError):
                    raise one
                field, code = one.field, one.key.segment
                if allow_repeated and (field in subscribed or field in wanted):
                    repeated[name] = one
                    continue
                if field in subscribed or field in wanted:
                    rejected.append(_already_subscribed(name, field))
                    continue
                if code not in delays:
                    delays[code] = access.delay_of(one.key)
                if delays[code] and not allow_delayed:
                    raise ProtocolError(ErrorCode.NOT_ENTITLED, "entitled to delayed prices only")
                if len(wanted) >= room:
                    raise ProtocolError(
                        ErrorCode.SYMBOL_LIMIT, f"a connection can have at most {limit} symbols"
                    )
            except (ProtocolError, InstrumentsError) as error:
                rejected.append(rejection(name, error.code, str(error)))
                continue
            wanted[field] = one
            admitted.append(name)
        yield
    return Admission(list(wanted.values()), admitted, rejected, repeated)


def _already_subscribed(name: str, field: str) -> dict[str, Any]:
    """Return the item of `rejected` for an instrument that the client has under any name."""
    item = rejection(name, ErrorCode.ALREADY_SUBSCRIBED, "already subscribed")
    return item if name == field else {**item, "key": field}
