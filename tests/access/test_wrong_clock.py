"""A web process on a machine with a wrong clock: log-ins last, and ended ones stay ended."""

import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone
from redis import Redis
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken

from quotes.access.changes import login_end
from quotes.access.credentials import logins
from quotes.access.credentials.logins import LoginRefreshToken
from quotes.access.models import EndedLogin
from tests.access.people import asha

pytestmark = pytest.mark.django_db

AHEAD = timedelta(days=2)


@pytest.fixture(autouse=True)
def wrong_clock(
    set_clock: Callable[[float], None], redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], None]:
    """Sets this process's clock two days ahead."""
    right = timezone.now

    def set_ahead() -> None:
        set_clock(AHEAD.total_seconds())
        monkeypatch.setattr(timezone, "now", lambda: right() + AHEAD)
        monkeypatch.setattr(logins, "_flushed_at", time.monotonic() - 3600)

    return set_ahead


def test_refresh_tokens_of_other_machines_stay(wrong_clock: Callable[[], None]) -> None:
    """Deleting them would end the log-ins of their users."""
    user = asha()
    LoginRefreshToken.for_user(user)
    wrong_clock()
    logins.delete_expired()
    assert OutstandingToken.objects.count() == 1


def test_ended_logins_stay_ended(wrong_clock: Callable[[], None]) -> None:
    """Their tokens are still valid by the clocks of other machines."""
    login_end(login="first", user_id=None, why="logged out")
    wrong_clock()
    login_end(login="second", user_id=None, why="logged out")
    assert set(EndedLogin.objects.values_list("login", flat=True)) == {"first", "second"}
