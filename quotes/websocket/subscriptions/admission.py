"""Admission: to which of the names that it asks for a client is subscribed, and why not to all."""

from collections.abc import Container, Sized
from typing import Any, Protocol

from instruments.errors import InstrumentsError
from instruments.index import index
from instruments.keys import InstrumentKey
from quotes.conf import conf
from quotes.errors import ProtocolError
from quotes.store.latest import Wanted
from quotes.websocket.protocol import ErrorCode, rejection


class Held(Container[str], Sized, Protocol):
    """The instrument keys that a client is subscribed to."""


class Access(Protocol):
    """What a client may see, as far as admission is concerned."""

    @property
    def max_symbols(self) -> int:
        """How many instruments a connection may be subscribed to."""

    def delay_of(self, key: InstrumentKey) -> int:
        """Return how many minutes late the client sees an instrument; raise ProtocolError 403."""


def admit(
    asked: list[str], segment: str, *, held: Held, access: Access, late: bool = True
) -> tuple[list[Wanted], list[str], list[dict[str, Any]]]:
    """Return what to subscribe to, the names of it as asked, and what is refused and why.

    Args:
        segment: narrows bare names; "" for none.
        access: what the client may see.
        late: whether that may be prices that come late.
    """
    wanted: dict[str, Wanted] = {}
    names, rejected = [], []
    limit = access.max_symbols
    for name in asked:
        try:
            key = index.resolve(name, segment=segment, strict=conf.strict_symbols)
            if str(key) in held or str(key) in wanted:
                raise ProtocolError(ErrorCode.ALREADY_SUBSCRIBED, "already subscribed")
            if access.delay_of(key) and not late:
                raise ProtocolError(ErrorCode.NOT_ENTITLED, "entitled to late prices only")
            if len(held) + len(wanted) >= limit:
                raise ProtocolError(
                    ErrorCode.SYMBOL_LIMIT, f"a connection has at most {limit} symbols"
                )
        except (ProtocolError, InstrumentsError) as error:
            rejected.append(rejection(name, error.code, str(error)))
            continue
        wanted[str(key)] = Wanted(key, name)
        names.append(name)
    return list(wanted.values()), names, rejected
