"""A tick with depth, from each way of publishing to clients and history."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from redis import Redis

from instruments.keys import InstrumentKey
from quotes.history.rows import TickRow, contents_of
from tests.conftest import In
from tests.live import LiveServer
from tests.ticks import MOMENT, message, publish

ENTRY = '{"price":1.50,"quantity":5,"orders":1}'
DEPTH = f'{{"buy":[{ENTRY}],"sell":[]}}'
FIELDS = f',"buy_qty":7,"sell_qty":9,"last_trade_time":{MOMENT},"avg_price":1.45,"last_qty":3'


def text(symbol: str, price: str) -> str:
    head = f'{{"symbol":"{symbol}","price":{price},"timestamp":{MOMENT}'
    return f'{head}{FIELDS},"depth":{DEPTH}}}'


async def test_each_way_of_publishing_carries_a_depth(
    live: LiveServer, redis: Redis, database: In, tmp_path: Path
) -> None:
    """SET and PUBLISH, the command's options and its files end in the same fields of a frame."""
    file = tmp_path / "ticks.jsonl"
    file.write_text(text("A", "3") + "\n")
    options: dict[str, Any] = {
        **{"buy_qty": 7, "sell_qty": 9, "last_trade_time": MOMENT, "last_qty": 3},
        **{"avg_price": "1.45", "depth": DEPTH, "timestamp": MOMENT},
    }
    frames = []
    async with live.client() as client:
        await client.subscribe("A")
        publish(redis, "A", text("A", "1"))
        frames.append(await client.receive_text())
        await database(call_command, "publish_price", "A", "2", verbosity=0, **options)
        frames.append(await client.receive_text())
        await database(call_command, "publish_price", file=str(file), verbosity=0)
        frames.append(await client.receive_text())
    assert frames[0] == text("A", "1") and frames[2] == text("A", "3")
    assert f'"depth":{DEPTH}' in frames[1]
    assert json.loads(frames[1]) == json.loads(text("A", "2"))
    row = TickRow(InstrumentKey("", "A"), MOMENT, 1, 1, 1, True, *contents_of(frames[0].encode()))
    assert row.frame == frames[0].encode()


async def test_only_full_prices_have_a_depth(live: LiveServer, redis: Redis) -> None:
    """The modes ltp and quote leave out the depth and what belongs to it."""
    publish(redis, "A", text("A", "1"))
    shown = {}
    for mode in ("ltp", "quote", "full"):
        async with live.client() as client:
            await client.subscribe("A", mode=mode)
            shown[mode] = await client.price()
    for mode in ("ltp", "quote"):
        assert shown[mode].keys() == {"symbol", "price", "timestamp"}
    assert shown["full"]["depth"] == json.loads(DEPTH) and shown["full"]["sell_qty"] == 9


async def test_bad_depth_does_not_stop_the_price(
    live: LiveServer, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """The price is shown without it, and the bridge says which field it dropped."""
    async with live.client() as client:
        await client.subscribe("A")
        publish(redis, "A", message("A", "1", depth=[[1.5, 5]]))
        assert await client.price() == {"symbol": "A", "price": 1, "timestamp": MOMENT}
    assert "no value in depth" in caplog.text


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("depth", "reason"),
    [("[]", "buy and sell"), ("5", "buy and sell"), ('{"buy":[{"price":"x"}]}', "quantity")],
)
def test_command_refuses_a_bad_depth(redis: Redis, depth: str, reason: str) -> None:
    """Whoever types a depth reads what is wrong with it."""
    with pytest.raises(CommandError, match=reason):
        call_command("publish_price", "A", "1", depth=depth)
