"""Names as people type them, over REST: the answers of the socket."""

from typing import Any

import pytest
from django.test import Client
from redis import Redis

from instruments.index import index
from quotes.publish.publishing import publish_ticks
from tests.instruments.factories import equity, nifty50_index, reliance, snapshot_of
from tests.ticks import message, tick

RELIANCE = ["NSE_EQ:RELIANCE"]


@pytest.fixture
def client(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> Client:
    rows = [reliance(), reliance("BSE_EQ"), nifty50_index(), equity("INFY")]
    monkeypatch.setattr(index, "_snapshot", snapshot_of(*rows))
    return Client()


def get(client: Client, address: str, *, status: int = 200, **query: str) -> dict[str, Any]:
    response = client.get(address, query)
    assert response.status_code == status, response.content
    found: dict[str, Any] = response.json()
    return found


@pytest.mark.parametrize("name", ["reliance", "nse:Reliance", "RELIANCE", "nse_eq:reliance"])
def test_case_does_not_count(client: Client, redis: Redis, name: str) -> None:
    """Prices are found by a name in another case, shown by a bridge or in the publisher's key."""
    redis.set("stock:RELIANCE", message("RELIANCE", "5"))
    if ":" in name:
        redis.hset("quotes:latest", "NSE_EQ:RELIANCE", f"1 1 1 {message('RELIANCE', '5')}")
    assert get(client, f"/api/prices/{name}/")["price"] == 5
    answer = get(client, "/api/prices/", symbols=f"INFY,{name}")
    assert [one["price"] for one in answer["prices"]] == [5]
    assert answer["missing"] == ["INFY"] and "known" not in answer


def test_name_published_as_written_comes_first(client: Client, redis: Redis) -> None:
    """`reliance` is the price of that name where one was published."""
    publish_ticks([tick("reliance", "7"), tick("RELIANCE", "8")], client=redis)
    redis.set("stock:reliance", message("reliance", "7"))
    redis.set("stock:RELIANCE", message("RELIANCE", "8"))
    assert get(client, "/api/prices/reliance/")["price"] == 7
    assert get(client, "/api/prices/Reliance/")["price"] == 8


def test_unknown_names_are_reported_with_suggestions(client: Client) -> None:
    """One unknown name is 404 with suggestions; of many, the unknown ones are listed with them."""
    answer = get(client, "/api/prices/RELIANC/", status=404)
    assert (answer["known"], answer["suggestions"]) == (False, RELIANCE)
    assert answer["message"] == "no price for RELIANC; did you mean NSE_EQ:RELIANCE?"
    assert get(client, "/api/prices/INFY/", status=404).keys() == {"code", "message"}
    answer = get(client, "/api/prices/", symbols="RELIANC,INFY,qqqq")
    assert answer["missing"] == ["RELIANC", "INFY", "qqqq"] and answer["known"] is False
    assert answer["unknown"] == [
        {"symbol": "RELIANC", "suggestions": RELIANCE},
        {"symbol": "qqqq", "suggestions": []},
    ]


def test_strict_mode_finds_and_suggests(client: Client, redis: Redis, settings: Any) -> None:
    """In strict mode as well, another case is found and an unknown name gets suggestions."""
    settings.QUOTES_STRICT_SYMBOLS = True
    redis.set("stock:RELIANCE", message("RELIANCE", "5"))
    assert get(client, "/api/prices/reliance/")["price"] == 5
    answer = get(client, "/api/prices/RELIANC/", status=404)
    assert (answer["known"], answer["suggestions"]) == (False, RELIANCE)


@pytest.mark.django_db(databases=["default", "history"])
@pytest.mark.parametrize("kind", ["candles", "ticks"])
def test_history_takes_names_as_prices_do(client: Client, kind: str) -> None:
    """History is found by a name in another case; without any, an unknown name is reported."""
    terms: Any = {"interval": "1m"} if kind == "candles" else {}
    answer = get(client, f"/api/instruments/nse:reliance/{kind}/", **terms)
    assert answer["instrument"] == "NSE_EQ:RELIANCE" and "known" not in answer
    answer = get(client, f"/api/instruments/RELIANC/{kind}/", **terms)
    assert (answer["known"], answer["suggestions"], answer[kind]) == (False, RELIANCE, [])


@pytest.mark.django_db(databases=["default", "history"])
def test_candles_of_many_list_unknown_names(client: Client) -> None:
    """Candles of many instruments list the names that nobody has."""
    address = "/api/candles/"
    answer = get(client, address, instruments="RELIANC,reliance", interval="1m")
    assert answer["unknown"] == [{"symbol": "RELIANC", "suggestions": RELIANCE}]


@pytest.mark.django_db
def test_instruments_are_found_whatever_the_case(client: Client) -> None:
    """The master's own endpoint finds names in another case, and suggests."""
    reliance().save()
    index.refresh()
    assert get(client, "/api/instruments/reliance/")["key"] == "NSE_EQ:RELIANCE"
    answer = get(client, "/api/instruments/RELIANC/", status=404)
    assert (answer["known"], answer["suggestions"]) == (False, RELIANCE)
    assert len(get(client, "/api/instruments/", segment="nse_eq")["results"]) == 1
    assert get(client, "/api/market-status/", segment="nfo")["segments"][0]["segment"] == "NFO"
