"""The site of admin: its first page, its lists, dates, and what they cost."""

import re
from collections.abc import Iterator
from decimal import Decimal

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from redis import Redis

from instruments.admin.base import grouped
from quotes.store.latest import LatestPrice, encode_latest
from quotes.store.names import own_key
from tests.access.people import asha
from tests.administration.rows import add_rows
from tests.ticks import MOMENT, message

pytestmark = pytest.mark.django_db(databases=["default", "history"])


# As in "Nov. 27, 2026", "27 Nov 2026", "3 p.m.".
OTHER_DATES = re.compile(r"[A-Z][a-z]{2}\.? \d{1,2}, \d{4}|\d [A-Z][a-z]{2} \d{4}|[ap]\.m\.")


@pytest.fixture
def operator() -> Client:
    client = Client()
    client.force_login(asha(username="operator", is_staff=True, is_superuser=True))
    return client


def lists() -> Iterator[str]:
    for model in admin.site._registry:
        yield f"/admin/{model._meta.app_label}/{model._meta.model_name}/"


def queries(client: Client, address: str) -> int:
    with (
        CaptureQueriesContext(connections["default"]) as default,
        CaptureQueriesContext(connections["history"]) as history,
    ):
        assert client.get(address).status_code == 200
    return len(default) + len(history)


def test_no_list_costs_a_query_for_each_row(operator: Client, redis: Redis) -> None:
    """Every list of admin takes as many queries for eight rows as for two."""
    add_rows(2)
    few = {address: queries(operator, address) for address in lists()}
    add_rows(6, start=2)
    many = {address: queries(operator, address) for address in lists()}
    more = {one: (few[one], many[one]) for one in few if many[one] > few[one]}
    assert not more


def test_first_page_is_in_the_order_of_operators(operator: Client) -> None:
    """Users come first, what libraries keep comes last; the header leads to the other pages."""
    text = operator.get("/admin/").content.decode()
    places = [text.index(f'href="/admin/{one}/"') for one in ("auth/user", "access/apikey")]
    places += [text.index(f'href="/admin/{one}/"') for one in ("instruments/instrument", "axes")]
    assert places == sorted(places)
    assert "Live prices: administration" in text and "<title>Administration | Live prices" in text
    for path in ("/", "/api/docs/"):
        assert f'<a href="{path}">' in text


def test_dates_and_times_are_iso_and_indian(operator: Client, redis: Redis) -> None:
    """Lists and forms write 2036-04-24 and 24 hours of IST."""
    add_rows(1)
    User.objects.update(last_login="2026-11-27T20:00:05Z")
    assert "2026-11-28 01:30:05" in operator.get("/admin/auth/user/").content.decode()
    assert "2036-04-24" in operator.get("/admin/instruments/instrument/").content.decode()
    for address in lists():
        text = operator.get(address).content.decode()
        results = text.partition('id="result_list"')[2].partition("</table>")[0]
        assert not OTHER_DATES.search(results), address


def test_latest_price_and_volume_are_in_the_list(operator: Client, redis: Redis) -> None:
    """Both are next to the symbol, with the digits grouped as in India."""
    add_rows(1)
    name = "NIFTY36APR18000CE"
    frame = message(name, volume=123456789).encode()
    redis.hset(own_key("latest"), f"NFO:{name}", encode_latest(LatestPrice(1, 1, MOMENT, frame)))
    text = operator.get("/admin/instruments/instrument/").content.decode()
    assert 'class="field-latest_price">189.45<' in text
    assert 'class="field-volume">12,34,56,789<' in text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        *((0, "0"), (-5, "-5"), (999, "999"), (1000, "1,000"), (99_999, "99,999")),
        *((100_000, "1,00,000"), (123_456_789, "12,34,56,789")),
        *((Decimal("1234567.80"), "12,34,567.80"), (Decimal("-1234.5"), "-1,234.5")),
        *((Decimal("1E+3"), "1,000"), (Decimal("0.0000001"), "0.0000001")),
    ],
)
def test_digits_are_grouped_as_in_india(number: Decimal | int, text: str) -> None:
    """Three digits, then two and two; the digits after the point stay as they are."""
    assert grouped(number) == text
