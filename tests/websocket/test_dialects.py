"""A dialect decides how a client's messages are read and how its frames are made."""

import json
from typing import Any

import pytest
from redis import Redis

from quotes.conf import DOORS, conf
from quotes.websocket.consumers import LivePriceConsumer
from quotes.websocket.delivery.framing import Framing
from quotes.websocket.delivery.price_message import PriceMessage
from quotes.websocket.dialect import Dialect
from quotes.websocket.protocol import ControlFrame, Ping, Request, Resubscribe
from quotes.websocket.transports.base import TEXT
from tests.live import LiveServer
from tests.ticks import message, publish


class PlainFraming(Framing):
    """Frames of words: an acknowledgement is its kind, all others are left out."""

    def control(self, frame: ControlFrame) -> Any | None:
        if frame.kind not in ("subscribed", "pong"):
            return None
        words = [frame.kind, *frame.values.get("symbols", ())]
        return self.transport.frame(TEXT, json.dumps(words).encode())


class PlainDialect(Dialect):
    """Reads `mode symbol symbol`, or nothing for a ping."""

    def framing(self, transport: Any) -> Framing:
        return PlainFraming(transport)

    def read(self, text: str) -> Request:
        mode, *symbols = text.split()
        return Resubscribe(symbols=symbols, mode=mode) if symbols else Ping()  # type: ignore[arg-type]


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LivePriceConsumer, "dialect", lambda self: PlainDialect())


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("live", ["wire", "asgi"], indirect=True)
async def test_request_may_be_repeated(live: LiveServer, redis: Redis) -> None:
    """A repeated request sets the mode, and the newest price comes once more; so is it in order."""
    publish(redis, "A", message("A", "1", volume=5))
    async with live.client() as client:

        async def answers(text: str, count: int) -> list[Any]:
            await client.connection.send(text)
            return [json.loads(await client.receive_text()) for _ in range(count)]

        acknowledged, first = await answers("full A B", 2)
        assert acknowledged == ["subscribed", "A", "B"]
        assert (first["symbol"], first["volume"]) == ("A", 5)
        acknowledged, again = await answers("ltp A A B", 2)
        assert acknowledged == ["subscribed", "A", "B"]
        assert again.keys() == {"symbol", "price", "timestamp"}
        publish(redis, "A", message("A", "2", volume=6))
        publish(redis, "B", message("B", "3", volume=7))
        prices = [json.loads(await client.receive_text()) for _ in range(2)]
        assert {price["price"] for price in prices} == {2, 3}
        assert not any("volume" in price for price in prices)
        acknowledged, newest, other = await answers("full B C A", 3)
        assert acknowledged == ["subscribed", "C", "B", "A"]
        assert {newest["volume"], other["volume"]} == {6, 7}
        assert await answers("ping", 1) == [["pong"]]


def test_dialect_keeps_frames_apart() -> None:
    """What is made of a price for one shape is not sent in another."""
    transport: Any = type("Transport", (), {"form": "f", "frame": lambda self, kind, text: text})()
    price = PriceMessage("A", 1, 1, 1, b'{"symbol":"A","price":1,"timestamp":1,"volume":2}')
    full = Dialect().framing(transport)
    brief = Dialect().framing(transport)
    brief.set_mode("ltp")
    assert full.frame(price) != brief.frame(price)
    assert full.frame(price) == price.frame


@pytest.mark.parametrize(
    ("text", "doors"),
    [("", []), ("udf, kite", ["kite", "udf"]), (",".join(DOORS), list(DOORS)), ("nope", [])],
)
def test_setting_names_the_open_doors(text: str, doors: list[str], settings: Any) -> None:
    """Each once, in one order, whatever the order of the setting is."""
    settings.QUOTES_DOORS = text
    assert conf.open_doors == doors
