"""A master of 100,000 instruments: every admin page and REST answer takes few queries."""

import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from instruments.admin.base import AtLeast
from instruments.keys import InstrumentKey
from instruments.keyset import Cursor
from instruments.models import Instrument, MasterVersion
from quotes.runtime.clock import now_ms
from tests.instruments import prices
from tests.instruments.masters import clear_master, large_master

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

MOST_QUERIES = 15
SIZE = 100_000
LIST = "/admin/instruments/instrument/"


@pytest.fixture(scope="module", autouse=True)
def master(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    with django_db_blocker.unblock():
        large_master(SIZE)
    yield
    with django_db_blocker.unblock():
        clear_master()


@pytest.fixture
def operator(settings: Any) -> Client:
    settings.INSTRUMENTS_LATEST_PRICES = "tests.instruments.prices.latest"
    now = now_ms()
    prices.known.clear()
    prices.known[InstrumentKey("NSE_INDEX", "NIFTY 50")] = prices.Price(Decimal("24500.10"), now)
    prices.known[InstrumentKey("NFO", "ROOT0026825100" + "0CE")] = prices.Price(Decimal("1"), now)
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("operator"))
    return client


def page(client: Client, url: str) -> tuple[Any, list[str]]:
    """Return a page that loads, and the queries that it took."""
    with CaptureQueriesContext(
        connection,
    ) as queries:
        response = client.get(url)
        response.render() if hasattr(response, "render") else None
    assert response.status_code == 200, url
    return response, [query["sql"] for query in queries]


PAGES = [
    f"{LIST}",
    f"{LIST}?p=99",
    f"{LIST}?q=ROOT42",
    f"{LIST}?q=company+s00042",
    f"{LIST}?q=4242",
    f"{LIST}?q=INE000042018",
    f"{LIST}?q=nothing+like+it",
    f"{LIST}?active__exact=1",
    f"{LIST}?active__exact=0",
    f"{LIST}?segment__code__exact=BSE_EQ",
    f"{LIST}?instrument_type__exact=CE",
    *(f"{LIST}?expires={span}" for span in ("today", "week", "month", "next", "later", "past")),
    f"{LIST}?expires=never",
    f"{LIST}?priced=yes",
    f"{LIST}?priced=no&segment__code__exact=NSE_EQ",
    *(f"{LIST}?o={column}" for column in (1, -2, 3, -4, 5, -6, 7, -10)),
    f"{LIST}add/",
    f"{LIST}import/",
    "/admin/",
    "/admin/instruments/",
    "/admin/autocomplete/?app_label=instruments&model_name=instrument&field_name=segment&term=N",
    "/admin/autocomplete/?app_label=instruments&model_name=holiday&field_name=segment&term=",
    *(
        f"/admin/instruments/{model}/{rest}"
        for model in ("exchange", "segment", "tradingsession", "holiday")
        for rest in ("", "add/", "?q=NSE", "?q=nothing")
    ),
    "/admin/instruments/exchange/NSE/change/",
    "/admin/instruments/segment/NSE_EQ/change/",
    "/admin/instruments/segment/?exchange__code__exact=NSE",
    "/admin/instruments/segment/?kind__exact=equity",
    "/admin/instruments/tradingsession/?segment__code__exact=MCX",
    "/admin/instruments/tradingsession/?phase__exact=open",
    "/admin/instruments/holiday/?segment__code__exact=MCX",
]


@pytest.mark.parametrize("url", PAGES)
def test_page_loads_with_few_queries(operator: Client, url: str) -> None:
    """The page is there, in at most 15 queries, of which none counts the whole table."""
    started = time.process_time()
    _, queries = page(operator, url)
    assert len(queries) <= MOST_QUERIES
    assert not [
        sql for sql in queries if "COUNT(" in sql and 'instrument"' in sql and "LIMIT" not in sql
    ]
    assert time.process_time() - started < 5


def test_pages_of_one_instrument_load_with_few_queries(operator: Client) -> None:
    """Form, history and deletion of an instrument take few queries, too."""
    pk = Instrument.objects.get(symbol="NIFTY 50").pk
    for rest in ("change/", "history/", "delete/"):
        _, queries = page(operator, f"{LIST}{pk}/{rest}")
        assert len(queries) <= MOST_QUERIES


def test_list_does_not_ask_for_each_row(operator: Client) -> None:
    """A page of a hundred rows takes as many queries as one of a single row, and one of prices."""
    prices.asked.clear()
    response, many = page(operator, f"{LIST}?segment__code__exact=NFO")
    assert len(response.context["cl"].result_list) == 100
    assert prices.asked == [100]
    response, one = page(operator, f"{LIST}?q=NIFTY+50")
    assert len(response.context["cl"].result_list) == 1
    assert len(many) == len(one)


def test_list_counts_up_to_a_bound(operator: Client) -> None:
    """More rows than can be paged through are counted as more than that."""
    response, queries = page(operator, LIST)
    assert isinstance(response.context["cl"].result_count, AtLeast)
    assert b"more than 10,000 instruments" in response.content
    assert [sql for sql in queries if "COUNT(" in sql and "LIMIT 10001" in sql]
    response, _ = page(operator, f"{LIST}?q=ROOT42")
    assert response.context["cl"].result_count == 960


def test_prices_are_shown_and_filtered(operator: Client) -> None:
    """The latest price and its age stand in the list, and the filter finds who has one."""
    response, _ = page(operator, f"{LIST}?priced=yes")
    symbols = {instrument.symbol for instrument in response.context["cl"].result_list}
    assert symbols == {"NIFTY 50", "ROOT00268251000CE"}
    assert b"24,500.10" in response.content
    response, _ = page(operator, f"{LIST}?priced=no&q=NIFTY+50")
    assert not response.context["cl"].result_list


def test_version_moves_once_however_many_change(operator: Client) -> None:
    """Deactivating 96,000 rows at once is one change of the master."""
    before = MasterVersion.objects.get(pk=1).version
    pks = list(Instrument.objects.filter(segment="NFO").values_list("pk", flat=True)[:100])
    answer = operator.post(
        f"{LIST}?segment__code__exact=NFO",
        {"action": "deactivate", "_selected_action": pks, "select_across": "1"},
        follow=True,
    )
    assert b"89,999 instruments are inactive now." in answer.content
    version = MasterVersion.objects.get(pk=1).version
    assert version > before
    assert Instrument.objects.filter(active=False, master_version=version).count() == 89_999


@pytest.mark.parametrize(
    ("query", "most_queries"),
    [
        ("segments/", 2),
        ("market-status/", 2),
        *(
            (f"instruments/?limit=100&{query}", 2)
            for query in (
                *("ordering=symbol", "ordering=-symbol", "ordering=expiry", "ordering=-strike"),
                *("prefix=ROOT42", "search=root42+ce", "search=company+s00042", "search=nothing"),
                *("segment=O", "segment=NFO&type=PE", "underlying=ROOT07&expiry=2026-08-25"),
                *("strike_from=3000&ordering=-symbol", "active=false", "expiry_to=2026-08-25"),
            )
        ),
        ("instruments/ROOT42/option-chain/?expiry=2026-08-25", 2),
        ("instruments/ROOT42/option-chain/?segment=O", 3),
        ("instruments/NSE_EQ:S00042/", 1),
    ],
)
def test_rest_answers_with_few_queries(operator: Client, query: str, most_queries: int) -> None:
    """REST takes two or three queries and well under a second, however large the master is."""
    started = time.process_time()
    response, queries = page(operator, f"/api/{query}")
    assert len(queries) <= most_queries + 4  # the session, its user, and what that may see
    assert time.process_time() - started < 2
    assert not [sql for sql in queries if "COUNT(" in sql]
    assert response["Content-Type"] == "application/json"


def test_last_pages_cost_what_the_first_does(operator: Client) -> None:
    """A page far down begins in the index, not after all the rows before it."""
    last = operator.get("/api/instruments/?ordering=-symbol&limit=1").json()["results"][0]
    cursor = Cursor("symbol", last["symbol"][:-1], 0, False)
    started = time.process_time()
    rows = operator.get(f"/api/instruments/?cursor={cursor}").json()["results"]
    assert rows[-1] == last
    assert time.process_time() - started < 1
