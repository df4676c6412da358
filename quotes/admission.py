"""Admission: which of the names that a client asks for it may subscribe to, and why not others."""

from collections.abc import Callable
from typing import Any

from instruments.errors import InstrumentsError
from instruments.index import index
from instruments.keys import InstrumentKey
from quotes.access.sockets import SocketAccess
from quotes.conf import conf
from quotes.errors import ProtocolError
from quotes.protocol import ErrorCode
from quotes.snapshots import Wanted


def admit(
    asked: list[str],
    segment: str,
    *,
    access: SocketAccess,
    is_taken: Callable[[InstrumentKey], bool],
    used: int,
) -> tuple[list[Wanted], list[str], list[dict[str, Any]]]:
    """Return what to subscribe to, the names of it as asked, and what is refused and why.

    Args:
        access: what the client may see, and how much of it.
        is_taken: says whether the client has a subscription to an instrument already.
        used: how many subscriptions it has.
    """
    wanted: dict[str, Wanted] = {}
    names, rejected = [], []
    for name in asked:
        try:
            key = index.resolve(name, segment=segment, strict=conf.strict_symbols)
            if is_taken(key) or str(key) in wanted:
                raise ProtocolError(ErrorCode.ALREADY_SUBSCRIBED, "already subscribed")
            access.delay_of(key)
            limit = access.limits.max_symbols
            if used + len(wanted) >= limit:
                raise ProtocolError(
                    ErrorCode.SYMBOL_LIMIT, f"a connection has at most {limit} symbols"
                )
        except (ProtocolError, InstrumentsError) as error:
            rejected.append(rejection(name, error.code, str(error)))
            continue
        wanted[str(key)] = Wanted(key, name)
        names.append(name)
    return list(wanted.values()), names, rejected


def rejection(symbol: str, code: int, message: str) -> dict[str, Any]:
    """Return what a client is told of a name that is refused."""
    return {"symbol": symbol, "code": int(code), "message": message}
