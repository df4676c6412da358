"""Every way of publishing refuses the names that a bridge refuses, before anything is published."""

import json
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from redis import Redis

from instruments.index import index
from quotes.publish.publishing import listing_of
from quotes.store.listings import published_key
from quotes.store.names import own_key
from quotes.ticks import Tick
from tests.instruments.factories import m_and_m, nifty_call, reliance, snapshot_of
from tests.ticks import MOMENT

REFUSED = [
    ({"symbol": "RELIANCE", "segment": "NOPE"}, "not a segment, got 'NOPE'"),
    ({"symbol": "RELIANCE", "segment": "nse_eq"}, "not a segment, got 'nse_eq'"),
    ({"symbol": "*"}, "not a symbol"),
]


@pytest.fixture(autouse=True)
def master(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [m_and_m(), reliance(), reliance("BSE_EQ"), nifty_call()]
    monkeypatch.setattr(index, "_snapshot", snapshot_of(*rows))


@pytest.mark.parametrize(("names", "reason"), REFUSED)
def test_publish_price_refuses_what_nobody_would_be_shown(
    redis: Redis, tmp_path: Path, names: dict[str, str], reason: str
) -> None:
    """One price with the reason; of a file that line alone."""
    segment = ["--segment", names["segment"]] if "segment" in names else []
    with pytest.raises(CommandError, match="not published") as error:
        call_command("publish_price", names["symbol"], "1", *segment)
    assert reason in str(error.value)
    assert not redis.keys("*")
    file = tmp_path / "ticks.jsonl"
    ticks = [{"symbol": "M&M"}, names, {"symbol": "RELIANCE", "segment": "BSE"}]
    file.write_text("\n".join(json.dumps({**one, "price": 1, "timestamp": 1}) for one in ticks))
    file.write_text(file.read_text().replace('"timestamp": 1', f'"timestamp": {MOMENT}'))
    with pytest.raises(CommandError, match="1 invalid lines"):
        call_command("publish_price", "--file", str(file))
    assert redis.get("quotes:inbox:n") == b"2"
    assert redis.exists("stock:M&M", "stock:BSE:RELIANCE") == 2


def test_replay_passes_over_names_that_nobody_would_be_shown(
    redis: Redis, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A row with such a name is bad; the others are published."""
    file = tmp_path / "day.csv"
    rows = [f"2021-04-16 09:15:0{n},{name},1,5" for n, name in enumerate(("M&M", "*", "RELIANCE"))]
    file.write_text("timestamp,symbol,ltp,volume\n" + "\n".join(rows) + "\n")
    call_command("replay_ticks", str(file), "--speed", "max", "--now")
    assert "published 2 ticks of 2 symbols" in capsys.readouterr().out
    assert redis.get("quotes:inbox:n") == b"2"


def test_command_forgets_the_instrument_of_a_name(
    redis: Redis, monkeypatch: pytest.MonkeyPatch, settings: object
) -> None:
    """Commands read the master first: RELIANCE is its listing, whose record is forgotten."""
    read = index._snapshot
    monkeypatch.setattr(index, "_snapshot", snapshot_of())

    def refresh() -> bool:
        monkeypatch.setattr(index, "_snapshot", read)
        return True

    monkeypatch.setattr(index, "refresh", refresh)
    settings.INSTRUMENTS_FOLLOW_MASTER = True  # type: ignore[attr-defined]
    redis.hset(own_key("latest"), "NSE_EQ:RELIANCE", b"x")
    call_command("forget_price", "RELIANCE")
    assert not redis.hexists(own_key("latest"), "NSE_EQ:RELIANCE")


def test_ways_of_publishing_and_the_bridge_agree() -> None:
    """The instrument that a way of publishing sees is that of the bridge."""
    tick = Tick("RELIANCE", "1", MOMENT, "BSE")
    assert str(listing_of(tick)) == str(published_key("BSE:RELIANCE", tick)) == "BSE_EQ:RELIANCE"
