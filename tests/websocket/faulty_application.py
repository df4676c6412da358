"""The application of production with mistakes that clients can choose, for a process of its own.

A client that sends `{"action":"ping","id":"fail CALL"}` has a session whose method of that name
raises from then on. Prices of 2 cannot be packed for clients of MessagePack.
"""

import asyncio
from typing import Any
from weakref import WeakKeyDictionary

from config.asgi import application
from quotes.websocket.delivery import framing, intervals
from quotes.websocket.delivery.price_message import PriceMessage
from quotes.websocket.feed.feed import feeds
from quotes.websocket.feed.market_status import MarketStatusWatch
from quotes.websocket.session import ClientSession

MARK = '"id": "fail '

chosen: WeakKeyDictionary[ClientSession, str] = WeakKeyDictionary()  # session -> what raises
market_changes: list[Any] = []


def break_framing() -> None:
    right = framing.payload

    def call(message: PriceMessage, encoding: str, mode: str) -> bytes:
        if encoding == "msgpack" and b'"price":2' in message.frame:
            raise RuntimeError("as a mistake in an encoder would")
        return right(message, encoding, mode)

    framing.payload = call


def break_sessions(name: str) -> None:
    right = getattr(ClientSession, name)

    def call(session: ClientSession, *arguments: Any, **keywords: Any) -> Any:
        if chosen.get(session) == name:
            raise RuntimeError("as a mistake in a session would")
        return right(session, *arguments, **keywords)

    setattr(ClientSession, name, call)


def choose(session: ClientSession, call: str) -> None:
    """Let a call to the session raise, and have it called where nothing else would."""
    chosen[session] = call
    if call == "market_changed":
        values = {"segment": "NSE_EQ", "status": "open", "name": ""}
        market_changes.append([{**values, "next_change": None, "next_status": ""}])
    if call == "follow_master":
        feeds[asyncio.get_running_loop()].master_changed()


async def handle(session: ClientSession, text: Any) -> None:
    if isinstance(text, str) and MARK in text:
        choose(session, text.partition(MARK)[2].partition('"')[0])
    await right_handle(session, text)


def changes(watch: MarketStatusWatch) -> Any:
    return market_changes.pop() if market_changes else right_changes(watch)


right_handle = ClientSession.handle
right_changes = MarketStatusWatch.changes
setattr(ClientSession, "handle", handle)  # noqa: B010  the type checker allows no assignment
setattr(MarketStatusWatch, "changes", changes)  # noqa: B010
intervals.SETTLED_S = 0.0
break_framing()
for one in ("check_deadlines", "market_changed", "feed_changed", "follow_master"):
    break_sessions(one)

__all__ = ["application"]
