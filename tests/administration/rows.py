"""Rows for every list of admin, with texts as long as they come."""

from datetime import date, time, timedelta

from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.contrib.auth.models import Group, User
from django.utils import timezone
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken

from instruments.models import FormerName, Holiday, Segment, TradingSession
from quotes.access.credentials.api_keys import api_key_create
from quotes.access.credentials.logins import LoginRefreshToken
from quotes.access.models import AccessProfile, ApiKey, SegmentGrant, UserClass
from quotes.kite.models import KiteSubscription
from tests.history.factories import MINUTE, OPENS, minutes
from tests.instruments.factories import nifty_option

_AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0"
_ATTEMPT = {
    "ip_address": "2001:db8:1234:5678:9abc:def0:1234:5678",
    **{"user_agent": _AGENT, "path_info": "/admin/login/", "http_accept": "text/html"},
}


def add_rows(count: int, *, start: int = 0) -> None:
    """Add rows to the table of every list, numbered from `start` on."""
    segment = Segment.objects.get(code="NFO")
    for number in range(start, start + count):
        group = Group.objects.create(name=f"dealing desk, Mumbai, derivatives {number}")
        user_class = UserClass.objects.create(
            name=f"professional {number}", max_symbols=3000, max_connections=10, rest_per_minute=600
        )
        user = User.objects.create_user(f"trader.{number}@derivatives.example.com")
        user.groups.add(group)
        AccessProfile.objects.create(user=user, user_class=user_class)
        ends = date(2027, 3, 31)
        for code in ("NSE_EQ", "NFO", "MCX"):
            SegmentGrant.objects.create(group=group, segment=code, valid_until=ends)
            SegmentGrant.objects.create(user=user, segment=code, delay_minutes=15)
        key = ApiKey(name=f"spreadsheet of the back office {number}", user=user, scope="url")
        key.segments, key.expires_at = "NSE_EQ,NFO,MCX", timezone.now() + timedelta(days=30)
        api_key_create(row=key, actor=user)
        option = nifty_option(
            f"NIFTY36APR{18000 + number}CE", date(2036, 4, 24), f"{18000 + number}"
        )
        option.save()
        FormerName.objects.create(segment=segment, symbol=f"OLD{number}", instrument=option)
        Holiday.objects.create(
            segment=segment,
            date=date(2030, 1, 1) + timedelta(days=number),
            name="Special session of the festival",
            **{"opens": time(17), "closes": time(20), "pauses": time(18), "resumes": time(19)},
            source="Circular NSE/CMTR/74466 of 2026-05-29, as named by the exchange's page",
        )
        TradingSession.objects.create(
            segment=segment,
            opens=time(9, 15),
            closes=time(15, 30),
            valid_from=date(2030, 1, 1) + timedelta(days=number),
            source="Circular NSE/CMTR/74466 of 2026-05-29, as named by the exchange's page",
        )
        KiteSubscription.objects.create(instrument=f"NFO:{option.symbol}")
        name = f"mallory.{number}"
        AccessAttempt.objects.create(username=name, failures_since_start=3, **_ATTEMPT)
        AccessFailureLog.objects.create(username=name, **_ATTEMPT)
        AccessLog.objects.create(username=name, **_ATTEMPT)
        LoginRefreshToken.for_user(user).blacklist()
    assert BlacklistedToken.objects.exists()
    minutes(count, start=OPENS + start * MINUTE)
