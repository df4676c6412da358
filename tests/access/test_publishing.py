"""Publishing over REST: who may, what is taken, and what a repeated request does."""

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from redis import Redis

from quotes.access.models import ApiKey
from quotes.rest.publish import UNDER_WAY
from quotes.runtime.clock import now_ms
from tests.access.people import access_token, api_key, asha, past, publisher
from tests.ticks import MOMENT, message
from tests.valkey import ValkeyProcess

pytestmark = pytest.mark.django_db


@pytest.fixture
def client(redis: Redis) -> Client:
    return Client(headers={"Authorization": f"Bearer {access_token(publisher())}"})


def post(client: Client, body: str, **headers: str) -> tuple[int, Any]:
    answer = client.post("/api/prices/", body, content_type="application/json", headers=headers)
    return answer.status_code, answer.json()


def inbox(redis: Redis) -> int:
    return int(redis.get("quotes:inbox:n") or 0)


def test_one_tick_is_taken_with_its_digits(client: Client, redis: Redis) -> None:
    """A single object is published; Redis has it when the answer comes."""
    text = message("AAPL", "189.450")
    assert post(client, text) == (
        200,
        {"accepted": 1, "rejected": 0, "results": [{"code": 200, "symbol": "AAPL"}]},
    )
    assert redis.get("stock:AAPL") == text.replace(", ", ",").encode()
    assert inbox(redis) == 1


def test_bad_depth_is_named_in_the_answer(client: Client, redis: Redis) -> None:
    """A depth in its form is taken; another is dropped, and the price is taken without it."""
    good = {"buy": [{"price": 1, "quantity": 2, "orders": 3}], "sell": []}
    ticks = [message("A", depth=good), message("B", depth=[good])]
    status, answer = post(client, f"[{','.join(ticks)}]")
    assert (status, answer["accepted"]) == (200, 2)
    assert answer["results"][1] == {"code": 200, "symbol": "B", "unknown": ["depth"]}
    assert json.loads(redis.get("stock:A") or b"")["depth"] == good
    assert "depth" not in json.loads(redis.get("stock:B") or b"")


def test_of_many_the_good_are_taken_and_each_has_its_answer(client: Client, redis: Redis) -> None:
    """Results are in the order of the ticks; a bad one says why; a late one says so."""
    redis.hset("quotes:latest", "OLD", f"1 1 {MOMENT + 5} {message('OLD')}")
    ticks = [message("A"), '{"symbol":"B"}', message("OLD"), "5", message("*"), message("Z", "1e3")]
    status, answer = post(client, f"[{','.join(ticks)}]")
    assert status == 200 and (answer["accepted"], answer["rejected"]) == (3, 3)
    results = answer["results"]
    assert [one["code"] for one in results] == [200, 400, 200, 400, 400, 200]
    assert results[2] == {"code": 200, "symbol": "OLD", "stale": True}
    assert results[1]["message"].startswith("no price")
    assert inbox(redis) == 3


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("", 400),
        ("nonsense", 400),
        ("[]", 400),
        ("[" + ",".join(["{}"] * 1001) + "]", 400),
        ('"' + "x" * 2_100_000 + '"', 413),
    ],
)
def test_request_that_is_none_is_refused_whole(
    client: Client, redis: Redis, body: str, status: int
) -> None:
    """No JSON, no ticks, too many, too long."""
    assert post(client, body)[0] == status and inbox(redis) == 0


def test_same_key_is_carried_out_once(client: Client, redis: Redis) -> None:
    """The first answer comes again; another body, or a request under way, is refused."""
    key = {"Idempotency-Key": "order-1"}
    first = post(client, message("A"), **key)
    assert post(client, message("A"), **key) == first and first[0] == 200
    assert inbox(redis) == 1
    assert post(client, message("B"), **key)[0] == 422
    (redis_key,) = (name for name in redis.keys("quotes:idempotency:*"))
    before: Any = redis.get(redis_key)
    redis.set(redis_key, before[:64] + UNDER_WAY)
    assert post(client, message("A"), **key)[0] == 409
    assert post(client, message("A"), **{"Idempotency-Key": "k" * 200})[0] == 400
    other = Client(headers={"Authorization": f"Bearer {access_token(publisher('another'))}"})
    assert post(other, message("B"), **key)[0] == 200  # keys are each caller's own


def test_outage_of_redis_is_503_and_may_be_repeated(
    client: Client, redis: Redis, redis_server: ValkeyProcess
) -> None:
    """Nothing is said to be taken that is not."""
    redis_server.kill()
    status, answer = post(client, message("A"), **{"Idempotency-Key": "k"})
    assert (status, answer["code"]) == (503, 503)
    redis_server.start()
    assert post(client, message("A"), **{"Idempotency-Key": "k"})[0] == 200


@pytest.mark.parametrize(
    ("scope", "fields", "publish", "read"),
    [
        ("publish", {}, 200, 403),
        ("read", {}, 403, 404),
        ("both", {}, 200, 404),
        ("both", {"is_active": False}, 401, 401),
        ("both", {"expires_at": past()}, 401, 401),
    ],
)
def test_api_key_opens_what_its_scope_says(
    redis: Redis, scope: str, fields: dict[str, Any], publish: int, read: int
) -> None:
    """Never more than its user may; an ended key opens nothing."""
    key = api_key(publisher("feed", "*"), scope, **fields)
    client = Client(headers={"Authorization": f"Api-Key {key}"})
    assert client.get("/api/prices/NONE/").status_code == read
    assert post(client, message("A"))[0] == publish
    idle = Client(headers={"Authorization": f"Api-Key {api_key(asha(), 'both')}"})
    assert post(idle, message("A"))[0] == 403


@pytest.mark.parametrize("text", ["", "lp_", "lp_000000000000_" + "x" * 43, "x" * 5000])
def test_text_that_is_no_api_key_is_401(redis: Redis, text: str) -> None:
    """Also with the prefix of a key that there is; nothing of a key is kept but its hash."""
    key = api_key(publisher())
    row = ApiKey.objects.get()
    assert key.split("_", 2)[2] not in str(vars(row))
    forged = key[:-4] + ("AAAA" if not key.endswith("AAAA") else "BBBB")
    for candidate in (text, forged):
        client = Client(headers={"Authorization": f"Api-Key {candidate}"})
        assert post(client, message("A"))[0] == 401
    User.objects.update(is_active=False)
    client = Client(headers={"Authorization": f"Api-Key {key}"})
    assert post(client, message("A"))[0] == 401


def test_results_are_json_that_names_each_symbol(client: Client) -> None:
    """A thousand ticks in one request."""
    body = json.dumps([json.loads(message(f"S{n}")) for n in range(1000)])
    status, answer = post(client, body)
    assert status == 200 and answer["accepted"] == 1000
    assert [one["symbol"] for one in answer["results"]] == [f"S{n}" for n in range(1000)]


def test_tick_ahead_of_the_clock_is_refused_with_its_cause(client: Client, redis: Redis) -> None:
    """A tick in Indian time written as UTC is bad; a price of such a time makes none stale."""
    now = now_ms()
    redis.hset("quotes:latest", "A", f"1 1 {now + 19_800_000} {message('A')}")
    ticks = [message("A", "1", now), message("A", "1", now + 19_800_000), message("A", "1", now)]
    status, answer = post(client, f"[{','.join(ticks)}]")
    assert status == 200 and (answer["accepted"], answer["rejected"]) == (2, 1)
    assert answer["results"][0] == {"code": 200, "symbol": "A"}
    assert "looks like Indian time written as UTC" in answer["results"][1]["message"]
