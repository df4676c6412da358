"""What is saved in admin moves the version of the master, so that every process hears of it."""

from datetime import date
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from instruments.index import InstrumentIndex
from instruments.models import (
    Exchange,
    FormerName,
    Holiday,
    Instrument,
    MasterVersion,
    Segment,
    SegmentAlias,
    TradingSession,
)

pytestmark = pytest.mark.django_db

RELIANCE = {
    **{"segment": "NSE_EQ", "symbol": "RELIANCE", "name": "RELIANCE INDUSTRIES"},
    **{"instrument_type": "EQ", "active": "on", "lot_size": "1", "tick_size": "0.1"},
    **{"exchange_token": "2885", "instrument_token": "738561", "isin": "INE002A01018"},
}


@pytest.fixture
def operator() -> Client:
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("operator"))
    return client


def version() -> int:
    return MasterVersion.objects.get(pk=1).version


def saved(client: Client, url: str, form: dict[str, Any]) -> None:
    """Save a form, which must move the version."""
    before = version()
    response = client.post(f"/admin/instruments/{url}", form)
    assert response.status_code == 302, response.context["adminform"].form.errors
    assert version() > before


def test_instrument_is_added_changed_and_deleted(operator: Client) -> None:
    """Each way of changing an instrument moves the version, which the row carries."""
    saved(operator, "instrument/add/", RELIANCE)
    instrument = Instrument.objects.get()
    assert (str(instrument), instrument.master_version) == ("NSE_EQ:RELIANCE", version())
    saved(operator, f"instrument/{instrument.pk}/change/", RELIANCE | {"lot_size": "2"})
    instrument.refresh_from_db()
    assert (instrument.lot_size, instrument.master_version) == (2, version())
    saved(operator, f"instrument/{instrument.pk}/delete/", {"post": "yes"})
    assert not Instrument.objects.exists()


def test_selected_instruments_are_deleted(operator: Client) -> None:
    """The action of the list deletes through the service, too."""
    saved(operator, "instrument/add/", RELIANCE)
    pk = Instrument.objects.get().pk
    form = {"action": "delete_selected", "_selected_action": [pk], "post": "yes"}
    saved(operator, "instrument/", form)
    assert not Instrument.objects.exists()


def test_former_name_is_added_and_deleted(operator: Client) -> None:
    """An operator can enter what an instrument was called; names mean it, and no more without."""
    saved(operator, "instrument/add/", RELIANCE)
    form = {"segment": "NSE_EQ", "symbol": "RIL", "instrument": Instrument.objects.get().pk}
    saved(operator, "formername/add/", form)
    index = InstrumentIndex()
    assert index.refresh() and str(index.resolve("RIL")) == "NSE_EQ:RELIANCE"
    assert "RIL" in operator.get("/admin/instruments/formername/?q=reliance").content.decode()
    again = operator.post("/admin/instruments/formername/add/", form)
    assert "another instrument&#x27;s former name" in again.content.decode()
    saved(operator, f"formername/{FormerName.objects.get().pk}/delete/", {"post": "yes"})
    assert index.refresh() and str(index.resolve("RIL")) == "RIL"


def test_instruments_are_deactivated_and_activated(operator: Client) -> None:
    """The actions change what they can: one active row a symbol."""
    saved(operator, "instrument/add/", RELIANCE)
    first = Instrument.objects.get()
    saved(operator, "instrument/", {"action": "deactivate", "_selected_action": [first.pk]})
    first.refresh_from_db()
    assert (first.active, first.master_version) == (False, version())
    second = Instrument.objects.get()
    second.pk = None
    second.save(force_insert=True)
    both = [first.pk, second.pk]
    saved(operator, "instrument/", {"action": "activate", "_selected_action": both})
    assert list(Instrument.objects.filter(active=True)) == [second]
    before = version()
    operator.post(
        "/admin/instruments/instrument/", {"action": "activate", "_selected_action": both}
    )
    assert version() == before
    assert list(Instrument.objects.filter(active=True)) == [second]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"instrument_type": "CE"}, "The segment has no instruments of this type."),
        ({"expiry": "2026-08-25"}, "Futures and options need an expiry, nothing else has one."),
        ({"strike": "100"}, "Options need a positive strike, nothing else has one."),
        ({"tick_size": "0"}, "tick_size_is_positive"),
        ({"symbol": ""}, "This field is required."),
    ],
)
def test_instrument_that_cannot_be_is_refused(
    operator: Client, changes: dict[str, str], error: str
) -> None:
    """The rules of the table are told in the form."""
    before = version()
    response = operator.post("/admin/instruments/instrument/add/", RELIANCE | changes)
    assert response.status_code == 200
    assert error in response.content.decode()
    assert version() == before


def test_second_active_row_of_a_symbol_is_refused(operator: Client) -> None:
    """A symbol of a segment is active once."""
    saved(operator, "instrument/add/", RELIANCE)
    response = operator.post("/admin/instruments/instrument/add/", RELIANCE)
    assert b"The segment has an active instrument of this symbol." in response.content


def test_alias_is_added_and_deleted_beside_its_segment(operator: Client) -> None:
    """Aliases are edited on the page of their segment, and move the version."""
    segment = Segment.objects.get(code="MCX")
    own = {
        **{"exchange": segment.exchange_id, "kind": segment.kind, "code": "MCX"},
        **{"description": segment.description, "price_divisor": "100", "decimals": "2"},
        **{"precedence": segment.precedence, "aliases-MIN_NUM_FORMS": "0"},
    }
    aliases = list(segment.aliases.all())
    rows: dict[str, Any] = {"aliases-INITIAL_FORMS": len(aliases)}
    for number, alias in enumerate(aliases):
        rows |= {
            f"aliases-{number}-{name}": value
            for name, value in (
                *(("id", alias.pk), ("segment", "MCX"), ("vendor", alias.vendor)),
                *(("code", alias.code), ("product", alias.product)),
            )
        }
    added = len(aliases)
    more = {
        **{f"aliases-{added}-segment": "MCX", f"aliases-{added}-vendor": "dhan"},
        **{f"aliases-{added}-code": "COMM", "aliases-TOTAL_FORMS": added + 1},
    }
    saved(operator, "segment/MCX/change/", own | rows | more)
    assert SegmentAlias.objects.filter(segment="MCX", code="COMM").exists()
    less = {"aliases-0-DELETE": "on", "aliases-TOTAL_FORMS": added}
    saved(operator, "segment/MCX/change/", own | rows | less)
    assert not SegmentAlias.objects.filter(pk=aliases[0].pk).exists()


def test_hours_holidays_and_exchanges_are_edited(operator: Client) -> None:
    """Sessions, holidays and exchanges move the version, as the hours depend on them."""
    session = {
        **{"segment": "NFO", "phase": "open", "opens": "09:15", "closes": "15:50"},
        "valid_from": "2027-08-03",
    }
    saved(operator, "tradingsession/add/", session)
    assert TradingSession.objects.filter(valid_from=date(2027, 8, 3)).exists()
    saved(operator, "holiday/add/", {"segment": "NFO", "date": "2026-08-15", "name": "A day"})
    holiday = Holiday.objects.get(date=date(2026, 8, 15), segment="NFO")
    saved(operator, f"holiday/{holiday.pk}/delete/", {"post": "yes"})
    saved(operator, "exchange/add/", {"code": "NSEIX", "name": "GIFT City"})
    assert Exchange.objects.filter(code="NSEIX").exists()


def test_segment_cannot_be_deleted(operator: Client) -> None:
    """A segment that the keys know stays."""
    assert operator.get("/admin/instruments/segment/MCX/delete/").status_code == 403
