"""Option chains as a client subscribes to them: the strikes around the money of an underlying."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

import msgspec

from instruments.chains import Chain, newest_source
from instruments.errors import InstrumentsError
from instruments.index import index
from instruments.keys import InstrumentKey
from quotes.access.entitlements import Entitlements
from quotes.errors import ProtocolError, quoted
from quotes.store.latest import LatestPrice, Wanted
from quotes.websocket.feed.chain_prices import Prices
from quotes.websocket.feed.feed import Feed
from quotes.websocket.protocol import ErrorCode, Subscribe, Unsubscribe

# Chains of one client; each is one of its messages.
_MOST_CHAINS = 100

ChainId = tuple[str, str, date]  # segment, underlying, expiry


class Move(NamedTuple):
    """What changes as the money of a chain moves: instrument keys' texts."""

    added: list[str]
    removed: list[str]


class ChainSubscription:
    """One chain of one client, and where its money was last.

    Attributes:
        chain: the options, as the master has them.
        request: the message that subscribed to it, without what is of the past.
        strike: at the money.
        source, price: the instrument whose price that is, and the price; None if it is not known.
        window: the texts of the keys around the money.
        owned: those that the client has by this subscription alone.
        is_behind: whether the strikes are yet to follow the money.
    """

    def __init__(self, chain: Chain, request: Subscribe) -> None:
        self.chain = chain
        self.request = msgspec.structs.replace(request, id=None, history=None, since=None)
        self.strike = chain.money(None)
        self.source: InstrumentKey | None = None
        self.price: LatestPrice | None = None
        self.window: list[str] = []
        self.owned: set[str] = set()
        self.is_behind = False

    @property
    def id(self) -> ChainId:
        return self.chain.segment, self.chain.underlying, self.chain.expiry

    def take(self, prices: Prices, entitlements: Entitlements) -> bool:
        """Note the underlying's price; return whether the money is at another strike now.

        A price that the client may not see in real time counts for nothing: the strikes would
        reveal it.
        """
        visible = [key for key in self.chain.sources if entitlements.delay_of(key) == 0]
        found = newest_source(visible, prices)
        if found is None:
            return False
        before = self.strike if self.price is not None else None
        self.source, self.price = found
        strike = self.chain.money(self.price.price, before)
        if strike == self.strike:
            return False
        self.strike = strike
        return True

    def keys(self) -> list[str]:
        """Return the options around the money."""
        return list(map(str, self.chain.around(self.strike, self.request.strikes_around)))

    def move(self, subscribed: Mapping[str, object]) -> Move:
        """Return what to subscribe to and what to leave; the window is then as after it."""
        keys, before = self.keys(), set(self.window)
        added = [key for key in keys if key not in before and key not in subscribed]
        removed = [key for key in self.window if key in self.owned and key not in keys]
        self.window = keys
        self.owned.difference_update(removed)
        return Move(added, removed)

    def values(self) -> dict[str, Any]:
        """Return the keys of a frame about this chain: the strike at the money, and by what.

        A whole chain has none.
        """
        price = self.price
        which = dict(zip(("segment", "underlying", "expiry"), self.id, strict=True))
        if self.request.strikes_around is None:
            return which
        return {
            **which,
            "price_of": str(self.source) if self.source else None,
            "price": msgspec.Raw(f"{price.price:f}".encode()) if price else None,
            "timestamp": price.timestamp if price else None,
            "strike": msgspec.Raw(f"{self.strike:f}".encode()),
            "follow": self.request.follow,
        }


class OptionChains:
    """The option chains of one client.

    Attributes:
        subscribed: those with strikes around the money.
    """

    def __init__(self) -> None:
        self.subscribed: dict[ChainId, ChainSubscription] = {}

    async def find(
        self, feed: Feed, message: Subscribe, entitlements: Entitlements
    ) -> ChainSubscription:
        """Return the chain that a message requests, around the money of now.

        The money is at the latest price of the underlying's index or share, of its spot or of its
        nearest future; where none has one, in the middle of the strikes.

        Raises:
            ProtocolError: 404 when the master has no such options, 400 for an unknown segment, or
                for a request to follow all strikes, 405 for too many chains.
        """
        if message.follow and message.strikes_around is None:
            raise ProtocolError(ErrorCode.BAD_REQUEST, "follow needs strikes_around")
        underlying = message.underlying or ""
        try:
            chain = index.find_chain(underlying, segment=message.segment, expiry=message.expiry)
        except InstrumentsError as error:
            raise ProtocolError(error.code, str(error)) from error
        if chain is None:
            of = f"{message.segment} has no options" if message.segment else "no options"
            raise ProtocolError(
                ErrorCode.UNKNOWN_SYMBOL,
                f"{of} of this underlying and expiry, got {quoted(underlying)}",
            )
        found = ChainSubscription(chain, message)
        if message.strikes_around is not None:
            if len(self.subscribed) >= _MOST_CHAINS and found.id not in self.subscribed:
                raise ProtocolError(
                    ErrorCode.SYMBOL_LIMIT, f"a connection can have at most {_MOST_CHAINS} chains"
                )
            found.take(await _latest(feed, chain, entitlements), entitlements)
        found.window = found.keys()
        return found

    def keep(self, one: ChainSubscription, owned: set[str]) -> None:
        """Note a chain, and which options the client has by it alone."""
        former = self.subscribed.get(one.id)
        one.owned = owned if former is None else owned | former.owned
        if one.request.strikes_around is None:
            return
        one.window = [*one.window, *(one.owned - set(one.window))]
        self.subscribed[one.id] = one

    def requested(self, field: str) -> None:
        """Note that a client named an option itself: no chain takes it away."""
        for one in self.subscribed.values():
            one.owned.discard(field)

    def left(self, fields: Sequence[str]) -> None:
        """Note that the client has left options; a chain of which it has none left ends."""
        for id, one in list(self.subscribed.items()):
            if not one.owned.isdisjoint(fields):
                one.owned.difference_update(fields)
                if not one.owned:
                    del self.subscribed[id]

    def named(self, message: Unsubscribe) -> list[ChainSubscription]:
        """Return the chains that a message names by underlying, and perhaps segment and expiry.

        Raises:
            ProtocolError: there are none, or the segment is unknown.
        """
        underlying = message.underlying or ""
        try:
            segments = index.segments_of(message.segment) if message.segment else ()
        except InstrumentsError as error:
            raise ProtocolError(error.code, str(error)) from error
        found = [
            one
            for one in self.subscribed.values()
            if one.chain.underlying == index.underlying(underlying, one.chain.segment)
            and (not segments or one.chain.segment in segments)
            and message.expiry in (None, one.chain.expiry)
        ]
        if not found:
            raise ProtocolError(
                ErrorCode.UNKNOWN_SYMBOL, f"not subscribed, got {quoted(message.underlying)}"
            )
        return found

    def sources(self) -> set[InstrumentKey]:
        """Return the instruments whose prices may move the chains."""
        return {key for one in self.subscribed.values() for key in one.chain.sources}

    def take(self, prices: Prices, entitlements: Entitlements) -> bool:
        """Note prices of underlyings; return whether a chain is behind its money."""
        for one in self.subscribed.values():
            one.is_behind = one.take(prices, entitlements) or one.is_behind
        return any(one.is_behind for one in self.subscribed.values())

    def refresh(self) -> None:
        """Take the chains as the master has them now; one that it has no more stays as it is."""
        for one in self.subscribed.values():
            segment, underlying, expiry = one.id
            chain = index.find_chain(underlying, segment=segment, expiry=expiry)
            if chain is not None and chain != one.chain:
                one.chain = chain
                one.strike = chain.money(one.price.price if one.price else None, one.strike)
                one.is_behind = True

    def behind(self) -> list[ChainSubscription]:
        """Return the chains that are behind their money, which they then count as not to be."""
        found = [one for one in self.subscribed.values() if one.is_behind]
        for one in found:
            one.is_behind = False
        return found


async def _latest(feed: Feed, chain: Chain, entitlements: Entitlements) -> Prices:
    """Return the latest prices of an underlying; none if Redis does not answer."""
    keys = [key for key in chain.sources if entitlements.delay_of(key) == 0]
    snapshot = await feed.latest.snapshot([Wanted(key, key.symbol) for key in keys])
    if snapshot is None:
        return {}
    return {key: latest for key in keys if (latest := snapshot.newest(key))}
