import json
from typing import Any

import pytest
from django.test import Client
from redis import Redis

from quotes.publish.publishing import publish_ticks
from quotes.runtime.clock import now_ms
from tests.live import LiveServer
from tests.ticks import MOMENT, message, tick
from tests.valkey import ValkeyProcess


@pytest.fixture
def client() -> Client:
    return Client()


def test_price_has_the_fields_and_digits_of_the_socket(client: Client, redis: Redis) -> None:
    """GET of one symbol gives the frame that a subscriber would get."""
    publish_ticks([tick("M&M", "2950.50")], client=redis)
    response = client.get("/api/prices/M%26M/")
    assert response.status_code == 200 and response["Content-Type"] == "application/json"
    assert response.content == message("M&M", "2950.50").replace(", ", ",").encode()


def test_many_prices_come_in_order_with_what_is_missing(client: Client, redis: Redis) -> None:
    """Up to 1,000 symbols in one request; those without a price are listed."""
    publish_ticks([tick("A"), tick("NIFTY 50", "22000.05")], client=redis)
    names = ["NIFTY 50", "A", *(f"X{n}" for n in range(998))]
    answer: dict[str, Any] = client.get("/api/prices/", {"symbols": ",".join(names)}).json()
    assert [price["symbol"] for price in answer["prices"]] == ["NIFTY 50", "A"]
    assert answer["missing"] == names[2:]


def test_repeated_symbols_are_all_answered(client: Client, redis: Redis) -> None:
    """`symbols=A&symbols=B` and `symbols=A,B` are the same request."""
    publish_ticks([tick("A"), tick("B")], client=redis)
    answer: dict[str, Any] = client.get("/api/prices/?symbols=A&symbols=B,X").json()
    assert [price["symbol"] for price in answer["prices"]] == ["A", "B"]
    assert answer["missing"] == ["X"]


@pytest.mark.parametrize(
    "query",
    ["", "symbols=", "symbols=,,", "symbols=" + ",".join(map(str, range(1001))), "symbols=A,*"],
)
def test_bad_request_is_400(client: Client, redis: Redis, query: str) -> None:
    """No symbols, too many or one that is none is refused with a text."""
    response = client.get("/api/prices/?" + query)
    assert response.status_code == 400 and b"symbol" in response.content


def test_unknown_symbol_is_404(client: Client, redis: Redis) -> None:
    """One symbol without a price is not found."""
    assert client.get("/api/prices/NOSUCH/").status_code == 404


def test_redis_away_is_503_with_retry_after(
    client: Client, redis: Redis, redis_server: ValkeyProcess
) -> None:
    """While Redis is away REST says so and when to come back; health tells the process is alive."""
    redis_server.kill()
    for path in ("/api/prices/A/", "/api/prices/?symbols=A"):
        response = client.get(path)
        assert response.status_code == 503 and int(response["Retry-After"]) > 0
    assert client.get("/healthz").status_code == 200


@pytest.mark.django_db
def test_readiness_names_what_is_wrong(client: Client, redis: Redis) -> None:
    """Without a bridge the server is not ready, and says what to start."""
    response = client.get("/readyz")
    answer = json.loads(response.content)
    assert response.status_code == 503
    assert (answer["redis"], answer["database"]) == ("ok", "ok") and "bridge_prices" in answer[
        "bridge"
    ]


async def test_price_older_than_the_latest_is_not_served(live: LiveServer, redis: Redis) -> None:
    """REST gives the newest price even when a publisher's key holds an older one."""
    from asgiref.sync import sync_to_async

    from tests.waiting import eventually

    publish_ticks([tick("A", "2", MOMENT + 1), tick("A", "1", MOMENT)], client=redis)
    await eventually(lambda: live.bridges[0][0].market.counters.stale == 1)
    response = await sync_to_async(Client().get)("/api/prices/A/")
    assert response.json()["price"] == 2


def test_schema_describes_prices_and_docs_need_no_cdn(client: Client) -> None:
    """The OpenAPI schema has the endpoints, and the page of it loads nothing from elsewhere."""
    schema = client.get("/api/schema/").content.decode()
    assert "/api/prices/:" in schema and "/api/prices/{symbol}/:" in schema
    page = client.get("/api/docs/").content.decode()
    assert "cdn" not in page and "https://" not in page


def test_price_ahead_of_the_clock_hides_no_right_one(client: Client, redis: Redis) -> None:
    """A publisher's right price goes before a stored one of 5 h 30 ahead; a wrong one never."""
    now = now_ms()
    wrong, right = (message("A", price, at) for price, at in (("9", now + 19_800_000), ("1", now)))
    redis.set("stock:A", wrong)
    assert client.get("/api/prices/A/").status_code == 404
    redis.hset("quotes:latest", "A", f"1 1 {now + 19_800_000} {wrong}")
    redis.set("stock:A", right)
    assert client.get("/api/prices/A/").json()["price"] == 1
