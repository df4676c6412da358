"""The list of instruments that come from Kite, in admin."""

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.test import Client

from instruments.index import index
from instruments.models import Instrument
from quotes.kite.models import KiteSubscription
from tests.instruments.factories import equity, nifty50_index, reliance

pytestmark = pytest.mark.django_db

ADD = "/admin/kite/kitesubscription/add/"


@pytest.fixture
def admin() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("admin"))
    return client


@pytest.fixture
def master() -> Iterator[None]:
    Instrument.objects.bulk_create([reliance(), nifty50_index(), equity("NOTOKEN")])
    index.refresh()
    yield
    index.__init__()  # type: ignore[misc]


def add(client: Client, instrument: str, mode: str = "full") -> str:
    """Fill in the form; return the page that comes, empty after a success."""
    form = {"instrument": instrument, "mode": mode, "active": "on"}
    return client.post(ADD, form).content.decode()


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("RELIANCE", "NSE_EQ:RELIANCE"),
        ("NSE:RELIANCE-EQ", "NSE_EQ:RELIANCE"),
        ("NIFTY 50", "NSE_INDEX:NIFTY 50"),
    ],
)
def test_a_name_becomes_the_key_of_its_instrument(
    name: str, key: str, admin: Client, master: None
) -> None:
    """Any name of the master is accepted, and stored as the lasting one."""
    assert not add(admin, name)
    assert list(KiteSubscription.objects.values_list("instrument", "mode")) == [(key, "full")]


@pytest.mark.parametrize(
    ("name", "mode", "says"),
    [
        ("RELIANZE", "full", "not in the instrument master"),
        ("NOTOKEN", "full", "NSE_EQ:NOTOKEN has no instrument token"),
        ("NSE:", "full", "a symbol must have"),
        ("x" * 200, "full", "at most 80 characters"),
        ("", "full", "required"),
        ("RELIANCE", "all", "not one of the available choices"),
    ],
)
def test_what_cannot_come_from_kite_is_refused(
    name: str, mode: str, says: str, admin: Client, master: None
) -> None:
    """The form says what is wrong, and nothing is stored."""
    assert says in add(admin, name, mode)
    assert not KiteSubscription.objects.exists()


def test_an_instrument_is_listed_once(admin: Client, master: None) -> None:
    """Another spelling of an instrument that is there is refused."""
    assert not add(admin, "RELIANCE")
    assert "already exists" in add(admin, "NSE:RELIANCE")
    assert KiteSubscription.objects.count() == 1


def test_before_there_is_a_master_names_stay_as_written(admin: Client) -> None:
    """Without a master the source says later what it does not find."""
    assert not add(admin, "RELIANCE")
    assert str(KiteSubscription.objects.get()) == "RELIANCE"
