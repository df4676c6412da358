"""Admin pages of history: read-only, filtered, and bounded."""

import re
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext

from instruments.keys import InstrumentKey
from quotes.history.candles.intervals import STORED, Interval
from quotes.history.router import ALIAS
from tests.history.factories import (
    M_AND_M,
    MIDNIGHT,
    MINUTE,
    OPENS,
    candle,
    days,
    minutes,
    series,
    ticks,
)
from tests.history.test_gap_report import gap

pytestmark = pytest.mark.django_db(databases=["default", "history"])

CANDLES = "/admin/history/candle/"


def viewer(*permissions: str) -> Client:
    user = get_user_model().objects.create_user("viewer", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def client() -> Client:
    return viewer("view_candle", "view_series", "view_gap")


def page(client: Client, address: str, *, status: int = 200) -> str:
    response = client.get(address)
    assert response.status_code == status
    return response.content.decode()


def shown(text: str) -> int:
    """Return how many rows a list has."""
    return len(re.findall(r'class="field-starts', text))


def test_candles_are_found_by_instrument_interval_and_day(client: Client) -> None:
    """The search knows parts of keys and whole keys; times are those of India."""
    minutes(5)
    minutes(3, M_AND_M)
    minutes(2, InstrumentKey("BSE_EQ", "M&M"), step=5)
    days(4)
    text = page(client, CANDLES)
    assert shown(text) == 14 and "2024-04-05 09:15:00" in text and "100.10" in text
    assert shown(page(client, f"{CANDLES}?q=m%26m")) == 5
    assert shown(page(client, f"{CANDLES}?q=NSE_EQ:M%26M")) == 3
    assert shown(page(client, f"{CANDLES}?interval=1")) == 8
    assert shown(page(client, f"{CANDLES}?interval=1&q=RELIANCE")) == 5
    assert shown(page(client, f"{CANDLES}?day=2024-04-06")) == 1
    assert shown(page(client, f"{CANDLES}?day=2024-04-05&interval=5")) == 2
    assert shown(page(client, f"{CANDLES}?day=nonsense&interval=nonsense")) == 14


def test_lists_of_candles_are_answered_by_indexes(client: Client) -> None:
    """Neither a filter nor a search reads the whole table, or sorts it."""
    for key in (M_AND_M, InstrumentKey("BSE_EQ", "M&M")):
        for interval in STORED:
            candle(OPENS, key, interval).save()
    for query in ("", "?interval=5", "?day=2024-04-05", "?q=M", "?q=M&day=2024-04-05&interval=1"):
        with CaptureQueriesContext(connections[ALIAS]) as context:
            page(client, CANDLES + query)
        statements = [one["sql"] for one in context if "history_candle" in one["sql"]]
        assert len(statements) == 2, statements
        with connections[ALIAS].cursor() as cursor:
            for sql in statements:
                cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
                plan = [row[3] for row in cursor.fetchall()]
                assert not any(line.startswith("SCAN history_candle") for line in plan) or (
                    not query and "USING" in " ".join(plan)
                ), (query, plan)
                assert not any("TEMP B-TREE" in line for line in plan), (query, plan)


def test_nothing_of_history_can_be_changed(client: Client) -> None:
    """Not even by a superuser: there is no way to add, change or delete."""
    (made,) = minutes(1)
    get_user_model().objects.update(is_superuser=True)
    assert page(client, f"{CANDLES}{made.pk}/change/").count('name="open"') == 0
    for model in ("candle", "series", "gap"):
        page(client, f"/admin/history/{model}/add/", status=403)
        assert 'name="action"' not in page(client, f"/admin/history/{model}/")
    page(client, f"{CANDLES}{made.pk}/delete/", status=403)
    assert client.post(f"{CANDLES}{made.pk}/change/", {"open": "1"}).status_code == 403


def test_pages_need_permissions() -> None:
    """Who may see nothing of history gets 403."""
    client = viewer()
    number = series().pk
    for address in (
        CANDLES,
        f"/admin/history/series/{number}/ticks/",
        "/admin/history/gap/report/",
    ):
        page(client, address, status=403)


def test_ticks_of_a_day_come_page_by_page(client: Client) -> None:
    """Each tick is there once, with its exact price; other days lead to others."""
    ticks([(OPENS + number // 3, f"100.{number:04}") for number in range(700)])
    ticks([(OPENS, "7.70")], M_AND_M, rest=',"note":"<script>"')
    address = f"/admin/history/series/{series().pk}/ticks/"
    first = page(client, f"{address}?day=2024-04-05")
    later = re.search(r'href="(\?day=[^"]*after=[^"]*)"', first)
    assert later
    second = page(client, address + later[1].replace("&amp;", "&"))
    prices = re.findall(r"<td>(100\.\d{4})</td>", first + second)
    assert prices == [f"100.{number:04}" for number in range(700)]
    assert "after=" not in second
    assert "No ticks on this day" in page(client, address)
    other = page(client, f"/admin/history/series/{series(M_AND_M).pk}/ticks/?day=2024-04-05")
    assert "<script>" not in other.split("<table>")[1] and "7.70" in other
    page(client, f"{address}?after=abc", status=404)
    page(client, "/admin/history/series/999/ticks/", status=404)


def test_series_lead_to_their_ticks_and_candles(client: Client) -> None:
    """The list is searched by parts of keys."""
    minutes(1, M_AND_M)
    text = page(client, "/admin/history/series/?q=M%26M")
    links = re.findall(
        r'<a href="(/admin/history/[^"]+(?:ticks/|q=[^"]+))">(?:Ticks|Candles)</a>', text
    )
    assert len(links) == 2
    for link in links:
        assert "M&amp;M" in page(client, link.replace("&amp;", "&"))


def test_gap_report_is_a_page(client: Client) -> None:
    """A week with the days of each segment, and the list of gaps leads to it."""
    candle(MIDNIGHT, interval=Interval.DAY).save()
    gap(OPENS, OPENS + MINUTE, None)
    assert "/admin/history/gap/report/" in page(client, "/admin/history/gap/")
    text = page(client, "/admin/history/gap/report/?day=2024-04-05")
    assert "2024-04-05" in text and "unknown" in text and "NSE_EQ" in text
    assert "?day=2024-04-12" in text and "?day=2024-03-29" in text  # a week later, and earlier


def test_system_checks_of_admin_pass(settings: Any) -> None:
    """Django finds nothing wrong with the pages."""
    from django.core.checks import run_checks

    assert run_checks(databases=["default", "history"]) == []
