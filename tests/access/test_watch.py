"""The watch over users: nobody is forgotten, whatever fails meanwhile."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError

from quotes.access import account_reader as reading
from quotes.access.account_reader import AccountReader
from quotes.access.accounts import Accounts
from quotes.access.errors import AccessDown
from quotes.access.revocation import AccessWatch
from tests.access.people import asha
from tests.conftest import In

pytestmark = pytest.mark.django_db(transaction=True)


class Seat:
    """A watched socket that keeps what it is told."""

    def __init__(self, user: int) -> None:
        self.user, self.login = user, ""
        self.told: list[bool] = []
        self.ended = False

    def review(self, accounts: Accounts) -> None:
        self.told.append(accounts.users[self.user].is_active)

    def cut_off(self) -> None:
        self.ended = True


@pytest.fixture
async def watch() -> AsyncIterator[AccessWatch]:
    reader = AccountReader()
    yield AccessWatch(reader)
    await reader.close()


async def test_change_is_not_forgotten_when_its_reading_fails(
    watch: AccessWatch, database: In, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user whose account could not be read is looked at again."""
    user = await database(asha)
    seat = Seat(user.pk)
    watch.add(seat)
    await watch.check()
    assert seat.told == [True]
    await database(User.objects.update, is_active=False)
    in_database = reading.in_database

    def fail(*arguments: Any) -> Any:
        raise OperationalError("the database is away")

    monkeypatch.setattr(reading, "in_database", fail)
    with pytest.raises(AccessDown):
        await watch.check()
    monkeypatch.setattr(reading, "in_database", in_database)
    await watch.check()
    assert seat.told[-1] is False


async def test_socket_that_cannot_be_reviewed_is_cut_off(watch: AccessWatch, database: In) -> None:
    """And those behind it are reviewed all the same."""
    users = [(await database(asha, username=name)).pk for name in ("a", "b")]
    broken, whole = Seat(users[0]), Seat(users[1])
    broken.review = lambda accounts: 1 / 0  # type: ignore[assignment,method-assign]
    watch.add(broken)
    watch.add(whole)
    await watch.check()
    assert broken.ended and whole.told and not whole.ended


async def test_recorded_changes_are_read_once_and_only_of_users_here(
    watch: AccessWatch, database: In
) -> None:
    """A change of somebody who is connected elsewhere costs no reading of those here."""
    here, elsewhere = [await database(asha, username=name) for name in ("here", "elsewhere")]
    watch.add(Seat(here.pk))
    await watch.check()
    await database(elsewhere.delete)
    assert elsewhere.pk not in await watch.changed_users()
    here.is_active = False
    await database(here.save)
    assert await watch.changed_users() == {here.pk}
    assert await watch.changed_users() == set()
    watch.discard(next(iter(watch.sockets[here.pk])))
    assert not watch.sockets
