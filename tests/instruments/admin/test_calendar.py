"""The pages of hours and holidays: sources, who entered a row, and what is missing."""

from datetime import date

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from instruments.admin import sessions
from instruments.models import Holiday, TradingSession
from instruments.templatetags import instruments_calendar

pytestmark = pytest.mark.django_db

HOLIDAYS = "/admin/instruments/holiday/"
MISSING = "the holidays of 2027 are missing for MCX"


@pytest.fixture
def operator() -> Client:
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("operator"))
    return client


def page(client: Client, url: str) -> str:
    response = client.get(url)
    assert response.status_code == 200
    return response.content.decode()


def test_rows_show_their_source_and_who_entered_them(operator: Client) -> None:
    """A row of the release becomes the operator's with the first change."""
    url = f"{HOLIDAYS}?segment__code__exact=NSE_EQ&date__year=2026&date__month=1"
    text = page(operator, url)
    assert "NSE/CMTR/71775 of 2025-12-12" in text
    assert text.count(">release<") == 2 and 'entered_by">operator<' not in text
    row = Holiday.objects.get(segment="NSE_EQ", date=date(2026, 1, 26))
    form = {"segment": "NSE_EQ", "date": "2026-01-26", "name": "Edited", "source": row.source}
    assert operator.post(f"{HOLIDAYS}{row.pk}/change/", form).status_code == 302
    text = page(operator, url)
    assert text.count(">release<") == 1 and text.count('entered_by">operator<') == 1


def test_provisional_rows_can_be_filtered(operator: Client) -> None:
    """What no circular confirms is found with one click."""
    text = page(operator, f"{HOLIDAYS}?provisional__exact=1&date__year=2026&q=MCX")
    assert "Muhurat" in text and "NSE/CMTR" not in text


def test_sessions_show_their_source(operator: Client) -> None:
    """The hours that changed in August 2026 have the circular's number."""
    text = page(operator, "/admin/instruments/tradingsession/?phase__exact=closing_auction")
    assert "NSE/CMTR/74466 of 2026-05-29" in text and ">release<" in text
    TradingSession.objects.filter(phase="closing_auction").update(source="")
    text = page(operator, "/admin/instruments/tradingsession/?phase__exact=closing_auction")
    assert ">release<" not in text and 'entered_by">operator<' in text


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"pre_opens": "09:00"}, "A pre-open needs hours"),
        ({"opens": "09:15", "closes": "12:30", "pauses": "10:00"}, "A pause needs both its times"),
        ({"opens": "09:15"}, "Give both hours"),
    ],
)
def test_hours_that_cannot_be_are_refused(
    operator: Client, values: dict[str, str], problem: str
) -> None:
    """The form says what is wrong with a pre-open, a pause or half of the hours."""
    form = {"segment": "MCX", "date": "2027-01-26", "name": "X", **values}
    response = operator.post(f"{HOLIDAYS}add/", form)
    assert response.status_code == 200
    assert problem in response.content.decode()


@pytest.mark.parametrize("url", ["/admin/", HOLIDAYS, "/admin/instruments/tradingsession/"])
def test_missing_years_are_named(
    operator: Client, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first page of admin and the pages of the calendar warn; without a reason they do not."""
    for module in (sessions, instruments_calendar):
        monkeypatch.setattr(module, "calendar_warnings", list)
    assert "are missing" not in page(operator, url)
    for module in (sessions, instruments_calendar):
        monkeypatch.setattr(module, "calendar_warnings", lambda: [MISSING])
    assert "The holidays of 2027 are missing for MCX." in page(operator, url)
