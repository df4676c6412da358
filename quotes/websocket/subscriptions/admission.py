"""Admission: which of the names in a request a client is subscribed to, and why not to others."""

from collections.abc import Container, Sized
from typing import Any, Protocol

from instruments.errors import InstrumentsError
from instruments.index import index
from instruments.keys import InstrumentKey
from quotes.conf import conf
from quotes.errors import ProtocolError
from quotes.store.latest import Wanted
from quotes.websocket.protocol import ErrorCode, rejection


class Subscribed(Container[str], Sized, Protocol):
    """The instrument keys that a client is subscribed to."""


class Access(Protocol):
    """What a client may see, as far as admission is concerned."""

    @property
    def max_symbols(self) -> int:
        """How many instruments a connection may be subscribed to."""

    def delay_of(self, key: InstrumentKey) -> int:
        """Return by how many minutes an instrument is delayed; raise ProtocolError 403."""


def admit(
    names: list[str],
    segment: str,
    *,
    subscribed: Subscribed,
    access: Access,
    allow_delayed: bool = True,
) -> tuple[list[Wanted], list[str], list[dict[str, Any]]]:
    """Return the instruments to subscribe to, their names, and the items of `rejected`.

    Args:
        names: as the client wrote them.
        segment: narrows bare names; "" for none.
        subscribed: the instruments that the client has already; they count for its limit.
        access: what the client may see.
        allow_delayed: whether that may be delayed prices.
    """
    wanted: dict[str, Wanted] = {}
    admitted, rejected = [], []
    limit = access.max_symbols
    for name in names:
        try:
            key = index.resolve(name, segment=segment, strict=conf.strict_symbols)
            if str(key) in subscribed or str(key) in wanted:
                raise ProtocolError(ErrorCode.ALREADY_SUBSCRIBED, "already subscribed")
            if access.delay_of(key) and not allow_delayed:
                raise ProtocolError(ErrorCode.NOT_ENTITLED, "entitled to delayed prices only")
            if len(subscribed) + len(wanted) >= limit:
                raise ProtocolError(
                    ErrorCode.SYMBOL_LIMIT, f"a connection can have at most {limit} symbols"
                )
        except (ProtocolError, InstrumentsError) as error:
            rejected.append(rejection(name, error.code, str(error)))
            continue
        wanted[str(key)] = Wanted(key, name)
        admitted.append(name)
    return list(wanted.values()), admitted, rejected
