"""Option chains as a client subscribes to them: the strikes around the money of an underlying."""

from decimal import Decimal

from instruments.errors import InstrumentsError
from instruments.index import index
from quotes.access.entitlements import Entitlements
from quotes.errors import ProtocolError, quoted
from quotes.store.latest import Wanted
from quotes.websocket.feed.feed import Feed
from quotes.websocket.protocol import ErrorCode, Subscribe

_SEGMENT = "NFO"


async def chain_keys(feed: Feed, message: Subscribe, entitlements: Entitlements) -> list[str]:
    """Return the instrument keys of the options that a message asks for, by strike.

    The money is the latest price of the underlying itself or, where it has none, of its nearest
    future; where neither has one, the middle of the strikes.

    Raises:
        ProtocolError: 404 when the master has no such options, 400 for an unknown segment.
    """
    segment, underlying = message.segment or _SEGMENT, message.underlying or ""
    try:
        at = None
        if message.strikes_around is not None:
            at = await _underlying_price(feed, segment, underlying, entitlements)
        keys = index.chain(segment, underlying, message.expiry, message.strikes_around, at)
    except InstrumentsError as error:
        raise ProtocolError(error.code, str(error)) from error
    if not keys:
        raise ProtocolError(
            ErrorCode.UNKNOWN_SYMBOL,
            f"{segment} has no options of this underlying and expiry, was {quoted(underlying)}",
        )
    return [str(key) for key in keys]


async def _underlying_price(
    feed: Feed, segment: str, underlying: str, entitlements: Entitlements
) -> Decimal | None:
    """Return the latest price of an underlying, or of its nearest future.

    None where it is unknown, or the client may not see it: the strikes would reveal it.
    """
    keys = [index.resolve(underlying), *index.futures(segment, underlying)[:1]]
    keys = [key for key in keys if entitlements.delay_of(key) == 0]
    snapshot = await feed.latest.snapshot([Wanted(key, str(key)) for key in keys])
    if snapshot is None:
        return None
    found = [latest for key in keys if (latest := snapshot.newest(key))]
    return found[0].price if found else None
