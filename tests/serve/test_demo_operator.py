"""The operator's account that a demo on this machine makes."""

import re

import pytest
from django.contrib.auth.models import User

from quotes.serve.demo_operator import NAME, demo_operator_lines
from quotes.serve.processes import ServeOptions
from tests.access.people import asha

pytestmark = pytest.mark.django_db

DEMO = ServeOptions(demo=True)


def test_the_first_demo_makes_an_account_and_shows_its_password_once() -> None:
    """It is stored as a hash; later starts say how to set another."""
    (line,) = demo_operator_lines(DEMO)
    found = re.search(r"password (\S{16}) ", line)
    assert found and NAME in line
    operator = User.objects.get()
    assert operator.is_superuser and operator.is_staff
    assert operator.check_password(found[1]) and found[1] not in operator.password
    (again,) = demo_operator_lines(DEMO)
    assert found[1] not in again and f"manage.py changepassword {NAME}" in again
    assert User.objects.get().password == operator.password


@pytest.mark.parametrize(
    "options",
    [
        ServeOptions(),
        *(ServeOptions(demo=True, host=host) for host in ("0.0.0.0", "::", "10.0.0.5", "", "box")),
    ],
)
def test_no_account_is_made_elsewhere(options: ServeOptions) -> None:
    """Without --demo, or where other machines may connect, nothing is made or shown."""
    assert demo_operator_lines(options) == []
    assert not User.objects.exists()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_every_loopback_address_is_this_machine(host: str) -> None:
    """The account is made whichever way this machine is named."""
    assert len(demo_operator_lines(ServeOptions(demo=True, host=host))) == 1
    assert User.objects.filter(is_superuser=True).count() == 1


def test_no_account_is_made_beside_another_superuser() -> None:
    """An operator who has an account needs no second one, and the terminal says nothing."""
    asha(is_superuser=True)
    assert demo_operator_lines(DEMO) == []
    assert User.objects.count() == 1


def test_a_user_who_has_the_name_is_left_alone() -> None:
    """The terminal says how to make an account."""
    asha(username=NAME)
    (line,) = demo_operator_lines(DEMO)
    assert "manage.py createsuperuser" in line
    assert not User.objects.filter(is_superuser=True).exists()
