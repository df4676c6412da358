"""Every door times every kind of caller: the doors come from the registries of URLs and actions.

A new URL, admin page or action without a row here fails.
"""

import json
import re
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import pytest
import websockets
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from redis import Redis
from websockets.exceptions import InvalidStatus

from instruments.index import index
from instruments.models import Instrument
from quotes.access.changes import login_end
from quotes.access.credentials.logins import LoginRefreshToken
from quotes.administration import urls as operator_urls
from quotes.openalgo.dialect import OpenAlgoDialect
from quotes.publish.publishing import publish_ticks
from quotes.websocket.protocol import ACTIONS
from tests.access.people import (
    access_token,
    asha,
    expired_token,
    forged_token,
    publisher,
    stray_token,
    unsigned_token,
)
from tests.conftest import In
from tests.instruments.factories import equity, nifty_option, reliance, snapshot_of
from tests.live import LiveServer
from tests.ticks import message, tick

pytestmark = pytest.mark.usefixtures("required")

BAD = ("expired", "forged", "unsigned", "stray", "revoked")
GOOD = ("unentitled", "entitled", "publisher", "staff", "superuser")
CALLERS = ("anonymous", *BAD, *GOOD)


def revoked_token(user: User) -> str:
    """A token whose log-in was ended."""
    token = LoginRefreshToken.for_user(user).access_token
    login_end(login=token["sid"], user_id=user.pk, why="logged out")
    return str(token)


TOKENS: dict[str, Callable[[], str]] = {
    "anonymous": lambda: "",
    "expired": lambda: expired_token(asha("*")),
    "forged": lambda: forged_token(asha("*")),
    "unsigned": lambda: unsigned_token(asha("*")),
    "stray": lambda: stray_token(asha("*")),
    "revoked": lambda: revoked_token(asha("*")),
    "unentitled": lambda: access_token(asha("MCX")),
    "entitled": lambda: access_token(asha("NSE_EQ", "NFO")),
    "publisher": lambda: access_token(publisher()),
    "staff": lambda: access_token(asha(is_staff=True)),
    "superuser": lambda: access_token(asha(is_staff=True, is_superuser=True)),
}


def row(*good: int, bad: int = 401, anonymous: int | None = None) -> dict[str, int]:
    """Return who gets which status; `good` is in the order of GOOD, one number is for all."""
    answers = dict.fromkeys(("anonymous", *BAD), bad)
    answers["anonymous"] = bad if anonymous is None else anonymous
    return answers | dict(zip(GOOD, good * (5 // len(good)), strict=True))


EVERYBODY = row(200, bad=200)
KNOWN = row(200)
DOCUMENTS = row(200, anonymous=200)  # they tell of addresses, not of prices
PRICES = row(403, 200, 403, 403, 200)
PUBLISHERS = row(403, 403, 200, 403, 200)
KITE = row(200, bad=403)  # Kite's clients have no 401
KITE_PRICES = row(403, 200, 403, 403, 200, bad=403)
NO_BODY = row(400, bad=400)  # credentials are in the body, and there is none
# OpenAlgo's API has its key in the body, where these callers' tokens are put.
OPENALGO = row(200, bad=403)
OPENALGO_PRICES = row(403, 200, 403, 403, 200, bad=403)
OPENALGO_NOTHING = row(404, bad=404)
PAGES = row(403, bad=302)  # of admin, for who has permissions; a token is no session
ADMIN = PAGES | {"superuser": 200, "unentitled": 302, "entitled": 302, "publisher": 302}

UDF_RANGE = "resolution=1D&from=1712275200&to=1712361600"

# method and address -> who gets what; {} stands for what an address is asked with
ROWS: dict[str, tuple[str, dict[str, int]]] = {
    "GET /": ("", EVERYBODY),
    "GET /favicon.ico": ("", EVERYBODY),
    "GET /live-price": ("", row(426, bad=426)),
    "GET /healthz": ("", EVERYBODY),
    "GET /metrics": ("", row(404, bad=404)),  # off in these tests; tests/metrics opens it
    "GET /readyz": ("", row(503, bad=503)),  # no bridge runs in these tests
    "GET /api/schema/": ("", DOCUMENTS),
    "GET /api/docs/": ("", DOCUMENTS),
    "GET /api/asyncapi.json": ("", EVERYBODY),
    "GET /api/sockets/": ("", EVERYBODY),
    "GET /docs/": ("", EVERYBODY),
    "GET /docs/search/": ("?q=price", EVERYBODY),
    "GET /docs/images/<str:name>": ("none.png", row(404, bad=404)),
    "GET /docs/decisions/": ("", EVERYBODY),
    "GET /docs/<path:slug>/": ("rest", EVERYBODY),
    "GET /api/segments/": ("", KNOWN),
    "GET /widgets.json": ("", KNOWN),
    "GET /udf/config": ("", KNOWN),
    "GET /udf/symbols": ("?symbol=NSE_EQ:RELIANCE", KNOWN),
    "GET /udf/symbol_info": ("?group=NSE_EQ", KNOWN),
    "GET /udf/search": ("?query=REL", KNOWN),
    "GET /udf/history": (f"?symbol=NSE_EQ:RELIANCE&{UDF_RANGE}", PRICES),
    "GET /udf/time": ("", KNOWN),
    "GET /udf/marks": ("?symbol=NSE_EQ:RELIANCE", KNOWN),
    "GET /udf/timescale_marks": ("?symbol=NSE_EQ:RELIANCE", KNOWN),
    "GET /udf/quotes": ("?symbols=NSE_EQ:RELIANCE", KNOWN),
    # With a URL key that is none, whatever else the caller brings.
    **{
        f"GET /udf/key/<str:url_key>/{name}": ("lp_none", row(401))
        for name in (
            *("config", "symbols", "symbol_info", "search", "history", "time"),
            *("marks", "timescale_marks", "quotes"),
        )
    },
    "GET /api/market-status/": ("", KNOWN),
    "GET /api/instruments/": ("", KNOWN),
    "GET /api/instruments/<path:key>/": ("NSE_EQ:RELIANCE", KNOWN),
    "GET /api/instruments/<path:underlying>/option-chain/": ("NIFTY", PRICES),
    "GET /api/instruments/<path:underlying>/greeks/": ("NIFTY", PRICES),
    "GET /api/instruments/<path:key>/candles/": ("NSE_EQ:RELIANCE?interval=1m", PRICES),
    "GET /api/instruments/<path:key>/ticks/": ("NSE_EQ:RELIANCE", PRICES),
    "GET /api/candles/": ("?instruments=NSE_EQ:RELIANCE&interval=day", PRICES),
    "GET /api/prices/": ("?symbols=NSE_EQ:RELIANCE", KNOWN),
    "POST /api/prices/": (message("NSE_EQ:RELIANCE"), PUBLISHERS),
    "GET /api/prices.csv": ("?symbols=NSE_EQ:RELIANCE", KNOWN),
    "GET /api/prices/<path:symbol>/": ("NSE_EQ:RELIANCE", PRICES),
    "GET /kite": ("", row(426, bad=426)),
    "GET /quote": ("?i=NSE:RELIANCE", KITE),
    "GET /quote/ohlc": ("?i=NSE:RELIANCE", KITE),
    "GET /quote/ltp": ("?i=NSE:RELIANCE", KITE),
    "GET /instruments": ("", KITE),
    "GET /instruments/<str:exchange>": ("NSE", KITE),
    "GET /instruments/historical/<str:token>/<str:interval>": (
        "738561/day?from=2024-04-05&to=2024-04-05",
        KITE_PRICES,
    ),
    "POST /api/token/": ("{}", NO_BODY),
    "POST /api/token/refresh/": ("{}", NO_BODY),
    "POST /api/token/verify/": ("{}", NO_BODY),
    "POST /api/logout/": ("{}", row(204)),
    "POST /api/ws-ticket/": ("{}", row(200)),
    "GET /api/watch-lists/": ("", row(200)),
    "POST /api/watch-lists/": ("{}", row(400)),
    # Nobody has a list here: who may change one learns that.
    "GET /api/watch-lists/<int:pk>/": ("1", row(404)),
    "PUT /api/watch-lists/<int:pk>/": ("1 {}", row(400)),
    "DELETE /api/watch-lists/<int:pk>/": ("1", row(404)),
}


OPENALGO_ONE = '{"apikey":"TOKEN","symbol":"RELIANCE","exchange":"NSE"}'
OPENALGO_ROWS = {
    "POST quotes": (OPENALGO_ONE, OPENALGO_PRICES),
    "POST depth": (OPENALGO_ONE, OPENALGO_PRICES),
    "POST multiquotes": (
        '{"apikey":"TOKEN","symbols":[{"symbol":"RELIANCE","exchange":"NSE"}]}',
        row(400, 200, 400, 400, 200, bad=403),  # of none of the symbols is there a quote
    ),
    "POST history": (
        OPENALGO_ONE[:-1] + ',"interval":"1m","start_date":"2024-04-05","end_date":"2024-04-05"}',
        OPENALGO_PRICES,
    ),
    "POST intervals": ('{"apikey":"TOKEN"}', OPENALGO),
    "POST symbol": (OPENALGO_ONE, OPENALGO),
    "POST search": ('{"apikey":"TOKEN","query":"RELIANCE"}', OPENALGO),
    "POST expiry": (
        '{"apikey":"TOKEN","symbol":"NIFTY","exchange":"NFO","instrumenttype":"options"}',
        OPENALGO,
    ),
    "GET instruments": ("?apikey=TOKEN", OPENALGO),
    "POST ping": ('{"apikey":"TOKEN"}', OPENALGO),
    "GET <path:rest>": ("funds", OPENALGO_NOTHING),
    "POST <path:rest>": ("{}", OPENALGO_NOTHING),
}
ROWS["GET /openalgo"] = ("", row(426, bad=426))
ROWS |= {
    door.replace(" ", f" {root}"): told
    for door, told in OPENALGO_ROWS.items()
    for root in ("/openalgo/api/v1/", "/api/v1/")
}


def patterns(resolver: URLResolver, prefix: str = "/") -> Iterator[tuple[str, URLPattern]]:
    for one in resolver.url_patterns:
        if isinstance(one, URLResolver):
            if str(one.pattern) != "admin/":  # its pages are those of the models below
                yield from patterns(one, prefix + str(one.pattern))
        else:
            yield prefix + str(one.pattern), one


def doors() -> Iterator[str]:
    for address, pattern in patterns(get_resolver()):
        view: Any = getattr(pattern.callback, "view_class", None)
        names = ("get", "post", "put", "patch", "delete")
        methods = [name for name in names if hasattr(view, name)] if view else ["get"]
        for method in methods:
            yield f"{method.upper()} {address}"


@pytest.fixture
def instruments(db: None, redis: Redis) -> Iterator[None]:
    """A share and an option of which there is a price."""
    Instrument.objects.bulk_create(
        [reliance(), nifty_option("NIFTY36APR18000CE", date(2036, 4, 24), "18000")]
    )
    index.refresh()
    publish_ticks([tick("NSE_EQ:RELIANCE")], client=redis)
    yield
    # The rows go with the transaction; the process's copy must not outlive them.
    Instrument.objects.all().delete()
    index.__init__()  # type: ignore[misc]


def client_of(caller: str, token: str) -> Client:
    client = Client(headers={"Authorization": f"Bearer {token}"} if token else {})
    if caller in ("staff", "superuser"):
        client = Client()
        client.force_login(User.objects.get())
    return client


@pytest.mark.django_db(databases=["default", "history"])
@pytest.mark.parametrize("caller", CALLERS)
def test_every_address_answers_every_caller_as_it_should(
    caller: str, instruments: None, redis: Redis, settings: Any
) -> None:
    """Each method of each URL has a row, and what it answers is in the row."""
    settings.QUOTES_LOGIN_PER_MINUTE = 1000
    token = TOKENS[caller]()
    client = client_of(caller, token)
    # A key that is not ours is refused as well, where callers must authenticate.
    body_token = token or "another server's"
    for door in sorted(doors(), key=lambda name: "logout" in name):  # it ends what others need
        assert door in ROWS, f"{door} has no row: say who gets what there"
        text, answers = ROWS[door]
        text = text.replace("TOKEN", body_token)
        method, _, address = door.partition(" ")
        if method == "POST":
            answer = client.post(address, text, content_type="application/json")
        elif text.startswith("?"):
            answer = client.get(address + text)
        elif method in ("PUT", "DELETE"):
            name, _, body = text.partition(" ")
            path = address.partition("<")[0] + name + address.rpartition(">")[2]
            answer = client.generic(method, path, body, content_type="application/json")
        else:
            before, _, rest = address.partition("<")
            name, _, query = text.partition("?")
            path = before + name + rest.rpartition(">")[2] if rest else address
            answer = client.get(f"{path}?{query}")
        expected = answers[caller]
        if door == "POST /api/logout/" and caller in ("staff", "superuser"):
            expected = 401  # they came with a session: admin's own log-out ends that
        assert answer.status_code == expected, f"{door} for {caller}: {answer.status_code}"
        if answer.status_code in (401, 403) and answer["Content-Type"] == "application/json":
            found = answer.json()
            is_of_other_shape = "api/v1/" in door or "error_type" in found
            if "/udf/" in door or "widgets" in door:
                assert found["s"] == "error" and found["errmsg"]
            elif is_of_other_shape:
                assert found["status"] == "error"
            else:
                assert found["code"] == expected
            assert not token or token not in answer.content.decode()


@pytest.mark.django_db(databases=["default", "history"])
@pytest.mark.parametrize("caller", ["anonymous", "entitled", "staff", "superuser"])
def test_every_admin_page_answers_every_caller_as_it_should(caller: str, redis: Redis) -> None:
    """Each model's list is for who has the permission; the others are sent to the log-in."""
    client = client_of(caller, TOKENS[caller]())
    assert len(admin.site._registry) > 8
    for model in admin.site._registry:
        meta = model._meta
        answer = client.get(f"/admin/{meta.app_label}/{meta.model_name}/")
        assert answer.status_code == ADMIN[caller], meta.label


# The operator's pages below /admin/: what superusers get; staff without permissions get 403.
OPERATOR_PAGES = {
    "connections/": ("", 200),
    "connections/data/": ("", 200),
    "connections/close/": ("?id=none", 302),  # back to the list, as there is none
    "users/<int:number>/access/": ("", 404),  # there is no such user
    "segments/access/": ("", 200),
    "grants/": ("", 302),  # to the list of users, as none is chosen
}


@pytest.mark.django_db(databases=["default", "history"])
@pytest.mark.parametrize("caller", CALLERS)
def test_every_page_of_operators_answers_every_caller_as_it_should(
    caller: str, redis: Redis
) -> None:
    """Each has a row, and is for those who have its permissions; a token is no session."""
    client = client_of(caller, TOKENS[caller]())
    assert {address for address, _, _ in operator_urls.PAGES} == set(OPERATOR_PAGES)
    for address, (query, status) in OPERATOR_PAGES.items():
        path = re.sub("<.*?>", "999999", address)
        expected = status if caller == "superuser" else ADMIN.get(caller, 302)
        answer = client.get(f"/admin/{path}{query}")
        assert answer.status_code == expected, f"{address} for {caller}"
        if caller != "superuser":
            assert client.post(f"/admin/{path}{query}").status_code in (expected, 405)


def test_prices_that_are_not_for_a_caller_are_left_out(instruments: None) -> None:
    """The list of prices names what is refused; an instrument is shown without its price."""
    client = client_of("unentitled", TOKENS["unentitled"]())
    answer = client.get("/api/prices/?symbols=NSE_EQ:RELIANCE,MCX:CRUDEOIL26AUGFUT").json()
    assert answer == {
        "prices": [],
        "missing": ["MCX:CRUDEOIL26AUGFUT"],
        "refused": [
            {"symbol": "NSE_EQ:RELIANCE", "code": 403, "message": "not entitled to NSE_EQ"}
        ],
        "known": False,
        "unknown": [{"symbol": "MCX:CRUDEOIL26AUGFUT", "suggestions": []}],
    }
    assert client.get("/api/instruments/NSE_EQ:RELIANCE/").json()["latest"] is None


# action -> what it is sent with, and what comes back to: anonymous, unentitled, entitled
ACTION_ROWS: dict[str, tuple[dict[str, Any], tuple[Any, Any, Any]]] = {
    "subscribe": ({"symbol": "NSE_EQ:TCS"}, (401, "403 in rejected", "subscribed")),
    "unsubscribe": ({"symbol": "NSE_EQ:TCS"}, (401, "unsubscribed", "unsubscribed")),
    "list": ({}, (401, "subscriptions", "subscriptions")),
    "ping": ({}, ("pong", "pong", "pong")),
    "configure": ({}, (401, "configured", "configured")),
    "market_status": ({"segment": "MCX"}, (401, "market_status", "market_status")),
    "authenticate": ({"token": "x"}, (402, 402, 402)),
}


def told(frame: dict[str, Any]) -> Any:
    if frame["type"] == "error":
        return frame["code"]
    rejected = frame.get("rejected", [])
    return f"{rejected[0]['code']} in rejected" if rejected and "feed" in frame else frame["type"]


# What OpenAlgo's protocol answers to: anonymous callers and bad tokens, unentitled, entitled.
OPENALGO_ACTIONS: dict[str, tuple[dict[str, Any], tuple[str, str, str]]] = {
    "authenticate": ({"api_key": "TOKEN"}, ("AUTHENTICATION_ERROR", "success", "success")),
    "subscribe": ({"symbol": "TCS", "exchange": "NSE"}, ("NOT_AUTHENTICATED", "error", "success")),
    "unsubscribe": (
        {"symbol": "TCS", "exchange": "NSE"},
        ("NOT_AUTHENTICATED", "success", "success"),
    ),
    "unsubscribe_all": ({}, ("NOT_AUTHENTICATED", "success", "success")),
    "ping": ({}, ("success", "success", "success")),
    "get_broker_info": ({}, ("NOT_AUTHENTICATED", "success", "success")),
    "get_supported_brokers": ({}, ("success", "success", "success")),
}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("caller", CALLERS)
async def test_every_action_of_openalgo_answers_every_caller_as_it_should(
    caller: str, live: LiveServer, database: In, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each action has a row; the key or token comes with the first message."""
    monkeypatch.setattr(index, "_snapshot", snapshot_of(equity("TCS")))
    assert set(OPENALGO_ACTIONS) == set(OpenAlgoDialect().actions) - {"auth"}
    token = await database(TOKENS[caller]) or "another server's"
    column = 0 if caller not in GOOD else 2 if caller in ("entitled", "superuser") else 1
    async with websockets.connect(f"ws://127.0.0.1:{live.port}/openalgo") as client:
        for action, (more, answers) in OPENALGO_ACTIONS.items():
            text = json.dumps({"action": action, **more}).replace("TOKEN", token)
            await client.send(text)
            answer = json.loads(await client.recv())
            assert answer.get("code", answer["status"]) == answers[column], action
            assert token not in json.dumps(answer)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("caller", CALLERS)
async def test_every_action_answers_every_caller_as_it_should(
    caller: str, live: LiveServer, database: In
) -> None:
    """Each action has a row; who comes with a bad token does not come in."""
    assert set(ACTION_ROWS) == set(ACTIONS)
    token = await database(TOKENS[caller])
    options = {"additional_headers": {"Authorization": f"Bearer {token}"}} if token else {}
    if caller in BAD:
        with pytest.raises(InvalidStatus) as refused:
            await websockets.connect(live.url, **options)  # type: ignore[arg-type]
        assert refused.value.response.status_code == 401
        return
    column = 0 if caller == "anonymous" else 2 if caller in ("entitled", "superuser") else 1
    async with live.client(**options) as client:
        if column:
            assert (await client.receive())["type"] == "authenticated"
        for action, (more, answers) in ACTION_ROWS.items():
            assert told(await client.ask(action=action, **more)) == answers[column], action
