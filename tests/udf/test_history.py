"""Bars of charts: ranges, countback, holidays, special sessions, and who may see them."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import pytest
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis

from instruments.index import index
from instruments.keys import InstrumentKey
from instruments.models import Instrument
from quotes.access.models import SegmentGrant
from quotes.history.candles.intervals import Interval
from quotes.history.models import Candle
from quotes.runtime.clock import DAY_MS, midnight_of, now_ms
from tests.access.people import access_token, asha
from tests.access.test_url_keys import url_key
from tests.history.factories import (
    MIDNIGHT,
    MINUTE,
    OPENS,
    RELIANCE,
    candle,
    days,
    minutes,
    series,
)
from tests.instruments.factories import crudeoil_future, nifty50_index, nifty_call, reliance
from tests.udf.test_symbols import usdinr_future

pytestmark = pytest.mark.django_db(databases=["default", "history"])


@pytest.fixture(autouse=True)
def master(redis: Redis) -> None:
    Instrument.objects.bulk_create(
        [reliance(), nifty_call(), usdinr_future(), crudeoil_future(), nifty50_index()]
    )
    index.refresh()


def content(*, status: int = 200, client: Client | None = None, **query: Any) -> bytes:
    terms = {"symbol": "NSE_EQ:RELIANCE", "resolution": "1D"}
    terms |= {name.removesuffix("_"): value for name, value in query.items()}
    answer = (client or Client()).get("/udf/history", terms)
    assert answer.status_code == status, answer.content
    assert answer["Content-Type"] == "application/json"
    return bytes(answer.content)


def get(**query: Any) -> Any:
    import json

    return json.loads(content(**query))


def utc(day: date | str) -> int:
    """Return 00:00 UTC of a date, in seconds."""
    day = date.fromisoformat(day) if isinstance(day, str) else day
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


def day_bars(key: InstrumentKey, *found: str) -> None:
    Candle.objects.bulk_create(
        candle(midnight_of(date.fromisoformat(one)), key, Interval.DAY, series_id=series(key).pk)
        for one in found
    )


def test_bars_are_columns_with_exact_digits() -> None:
    """Times in seconds, the candle under way included; an unknown volume is 0."""
    Candle.objects.bulk_create([candle(OPENS), candle(OPENS + MINUTE, volume=None, final=False)])
    at = OPENS // 1000
    assert content(resolution="1", from_=at, to=at + 61) == (
        b'{"s":"ok","t":[%d,%d],"o":[100.10,100.10],"h":[101.00,101.00],"l":[99.50,99.50],'
        b'"c":[100.00,100.00],"v":[10,0]}' % (at, at + 60)
    )


def test_range_has_its_beginning_and_not_its_end() -> None:
    """In seconds and exactly: the bar at `from` is in, that at `to` is not."""
    minutes(5)
    at = OPENS // 1000
    assert get(resolution="1", from_=at + 60, to=at + 180)["t"] == [at + 60, at + 120]
    assert get(resolution="1", from_=at + 61, to=at + 181)["t"] == [at + 120, at + 180]
    assert get(resolution="1", from_=at, to=f"{at + 60}.0")["t"] == [at]


@pytest.mark.parametrize("resolution", ["D", "1D"])
def test_bar_of_a_day_is_at_midnight_utc_of_its_date(resolution: str) -> None:
    """Not at midnight in India, which is on the day before."""
    days(1)
    today = utc("2024-04-05")
    answer = get(resolution=resolution, from_=today, to=today + 1)
    assert answer["t"] == [today]
    assert get(resolution=resolution, from_=today + 1, to=today + 86400)["s"] == "no_data"
    assert get(resolution=resolution, from_=today - 86400, to=today) == {"s": "no_data"}


@pytest.mark.parametrize(
    ("names", "starts"),
    [(("W", "1W"), ["2024-04-01", "2024-04-08"]), (("M", "1M"), ["2024-04-01"])],
)
def test_bars_of_weeks_and_months_are_at_midnight_utc(names: str, starts: list[str]) -> None:
    """Of Monday, and of the first of the month; those under way are included."""
    days(10, first=midnight_of(date(2024, 4, 1)))
    for name in names:
        answer = get(resolution=name, from_=utc("2024-04-01"), to=utc("2024-04-30"))
        assert answer["t"] == [utc(one) for one in starts]
        assert sum(answer["v"]) == 100


CONTRACTS = {
    # key -> days with bars around a holiday and a special session, and a day without a bar
    "NSE_EQ:RELIANCE": (["2024-10-31", "2024-11-01", "2024-11-04", "2024-11-05"], "2024-11-02"),
    "NFO:NIFTY24APR18000CE": (["2024-04-10", "2024-04-12", "2024-04-15"], "2024-04-11"),
    "CDS:USDINR24APRFUT": (["2024-04-08", "2024-04-10", "2024-04-12"], "2024-04-09"),
    "MCX:CRUDEOIL24APRFUT": (["2024-03-22", "2024-03-25", "2024-03-26"], "2024-03-24"),
}


@pytest.mark.parametrize("name", CONTRACTS)
def test_days_around_a_holiday_and_a_special_session(name: str) -> None:
    """Of a share (Muhurat), an option, a currency and a commodity (an evening): as they traded."""
    traded, empty = CONTRACTS[name]
    day_bars(InstrumentKey.parse(name), *traded)
    times = [utc(one) for one in traded]
    assert get(symbol=name, from_=times[0], to=times[-1] + 1)["t"] == times
    for count in range(1, len(times) + 3):
        found = get(symbol=name, to=times[-1] + 86400, countback=count)
        assert found["t"] == times[-count:]
    before = max(one for one in times if one < utc(empty))
    answer = get(symbol=name, from_=utc(empty), to=utc(empty) + 1)
    assert answer == {"s": "no_data", "nextTime": before}


def test_countback_counts_over_nights_and_more_than_a_range() -> None:
    """It wins over `from`, whichever has more bars."""
    minutes(3)
    minutes(3, start=OPENS + 3 * DAY_MS)
    at, later = OPENS // 1000, (OPENS + 3 * DAY_MS) // 1000
    for start in (0, later, later + 120):
        answer = get(resolution="1", from_=start, to=later + 60, countback=3)
        assert answer["t"] == [at + 60, at + 120, later]
    assert get(resolution="1", to=later + 60, countback=1)["t"] == [later]
    assert get(resolution="1", to=at, countback=5) == {"s": "no_data"}


def test_weeks_are_counted_over_a_long_gap() -> None:
    """A share that was suspended for a year has its bars before and after."""
    day_bars(RELIANCE, "2022-03-02", "2022-03-09", "2023-05-03", "2024-04-04")
    monday = [utc(one) for one in ("2022-02-28", "2022-03-07", "2023-05-01", "2024-04-01")]
    for count in range(1, 6):
        answer = get(resolution="W", to=utc("2024-04-30"), countback=count)
        assert answer["t"] == monday[-count:]
    first = [utc(one) for one in ("2022-03-01", "2023-05-01", "2024-04-01")]
    for count in range(1, 5):
        assert get(resolution="M", to=utc("2024-04-30"), countback=count)["t"] == first[-count:]


def test_answer_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A range or a count with more bars has the newest of them."""
    monkeypatch.setattr("quotes.udf.bars.MAX_BARS", 4)
    minutes(10)
    at = OPENS // 1000
    newest = [at + 60 * number for number in range(6, 10)]
    assert get(resolution="1", from_=0, to=at + 3600)["t"] == newest
    assert get(resolution="1", to=at + 3600, countback=9)["t"] == newest


@pytest.mark.parametrize(
    ("query", "status", "text"),
    [
        ({"symbol": ""}, 400, "symbol is required"),
        ({"symbol": "NOSUCH"}, 404, "unknown_symbol: 'NOSUCH'"),
        ({"symbol": "*"}, 400, "not a symbol"),
        ({"resolution": ""}, 400, "resolution is required"),
        ({"resolution": "2"}, 400, "resolution must be one of 1, 3, 5, 10, 15, 30, 60, 1D, 1W, 1M"),
        ({"resolution": "1m"}, 400, "resolution must be one of"),
        ({"to": ""}, 400, "to is required"),
        ({"from_": ""}, 400, "from is required"),
        ({"to": "tomorrow"}, 400, "to must be in Unix seconds, got 'tomorrow'"),
        ({"to": "1712275200000"}, 400, "to must be in Unix seconds, got"),
        ({"to": "171227520000"}, 400, "to must be in seconds, not milliseconds"),
        ({"to": "²"}, 400, "to must be in Unix seconds"),
        ({"from_": "9" * 40}, 400, "from must be in Unix seconds"),
        ({"from_": "2", "to": "1"}, 400, "from must not be after to, got 2 and 1"),
        ({"countback": "0"}, 400, "countback must be a whole number from 1"),
        ({"countback": "-3"}, 400, "countback must be a whole number from 1"),
        ({"countback": "1.5"}, 400, "countback must be a whole number from 1"),
        ({"countback": "9" * 20}, 400, "countback must be a whole number from 1"),
        ({"to": ["1", "2"]}, 400, "to must not be repeated"),
    ],
)
def test_bad_request_says_what_is_wrong(query: dict[str, Any], status: int, text: str) -> None:
    """With status 4xx, and the reason where clients look for it."""
    answer = get(status=status, **{"from_": "1712275200", "to": "1712361600", **query})
    assert answer["s"] == "error" and answer["errmsg"].startswith(text)


@pytest.mark.parametrize(
    "query",
    [
        {"from_": "-62135596800", "to": "0"},
        {"from_": "-5", "to": "-4"},
        {"to": "-1", "countback": 3},
        {"to": 99_999_999_999, "from_": 99_999_999_998},
        {"from_": 0, "to": 0},
        {"from_": 0, "to": 10, "currencyCode": "INR", "unitId": "x"},
    ],
)
@pytest.mark.parametrize("resolution", ["1", "D", "W", "M"])
def test_ranges_far_away_have_no_data(resolution: str, query: dict[str, Any]) -> None:
    """Before there were prices, and in the year 5138; parameters of other clients are ignored."""
    assert get(resolution=resolution, **query) == {"s": "no_data"}


def test_name_without_an_instrument_has_its_history() -> None:
    """A share that left the master is charted by its key."""
    minutes(1, InstrumentKey("NSE_EQ", "GONE"))
    assert get(symbol="NSE_EQ:GONE", resolution="1", to=utc("2024-04-30"), countback=5)["s"] == "ok"


def test_caller_sees_what_it_is_entitled_to(required: None) -> None:
    """401 without a user, 403 without a grant; the reason is in the answer."""
    minutes(1)
    query: dict[str, Any] = {"resolution": "1", "to": utc("2024-04-30"), "countback": 1}
    answer = get(status=401, **query)
    assert answer["s"] == "error" and "credentials" in answer["errmsg"]
    user = asha("MCX")
    client = Client(headers={"Authorization": f"Bearer {access_token(user)}"})
    answer = get(status=403, client=client, **query)
    assert answer == {"s": "error", "errmsg": "not entitled to NSE_EQ"}
    SegmentGrant.objects.create(user=user, segment="NSE_EQ")
    assert get(client=client, **query)["s"] == "ok"


@pytest.mark.parametrize("resolution", ["1", "5"])
def test_late_caller_sees_bars_that_ended_before(required: None, resolution: str) -> None:
    """With a delay of 15 minutes; `nextTime` and countback know no later bar either."""
    step = int(resolution)
    interval = Interval(step)
    newest = now_ms() // (60 * MINUTE) * 60 * MINUTE
    starts = [newest - number * step * MINUTE for number in range(60)][::-1]
    number = series().pk
    Candle.objects.bulk_create(
        candle(start, RELIANCE, interval, series_id=number) for start in starts
    )
    client = Client(
        headers={"Authorization": f"Bearer {access_token(asha('NSE_EQ', delay_minutes=15))}"}
    )
    to = now_ms() // 1000 + 1
    ranges = [
        {"to": to, "countback": 100},
        {"to": to, "from_": starts[0] // 1000},
    ]
    for query in ranges:
        earliest = now_ms()
        found = [1000 * one for one in get(client=client, resolution=resolution, **query)["t"]]
        assert found == [one for one in starts if one <= found[-1]]
        assert found[-1] + step * MINUTE <= now_ms() - 15 * MINUTE
        # The next bar ended too late, unless it was the last of all.
        if found[-1] != starts[-1]:
            assert found[-1] + 2 * step * MINUTE > earliest - 15 * MINUTE
    hidden = get(client=client, resolution=resolution, from_=to - 10, to=to)
    assert hidden == {"s": "no_data", "nextTime": found[-1] // 1000}


@pytest.mark.parametrize("way", ["query", "path", "header"])
def test_url_key_opens_the_door(way: str, required: None) -> None:
    """In the query, in the address that a library appends to, or in a header; and no other key."""
    minutes(1)
    key = url_key(asha("NSE_EQ"))
    query = f"symbol=RELIANCE&resolution=1&to={utc('2024-04-30')}&countback=1"
    for text, status in ((key, 200), (key[:-1] + "~", 401)):
        headers = {"Authorization": f"Api-Key {text}"} if way == "header" else {}
        prefix = f"/udf/key/{text}" if way == "path" else "/udf"
        more = f"&key={text}" if way == "query" else ""
        answer = Client(headers=headers).get(f"{prefix}/history?{query}{more}")
        assert answer.status_code == status and answer["Referrer-Policy"] == "no-referrer"
        assert text not in answer.content.decode()
    limited = url_key(asha("NSE_EQ", username="other"), "MCX")
    assert Client().get(f"/udf/key/{limited}/history?{query}").status_code == 403


class Model(NamedTuple):
    """What there is of one resolution: times of bars, in order."""

    times: list[int]

    def answer(self, start: int, end: int, countback: int | None) -> tuple[list[int], int | None]:
        before = [one for one in self.times if one < end]
        if countback is not None:
            return before[-countback:], None
        found = [one for one in before if one >= start]
        earlier = [one for one in before if one < start]
        return found, earlier[-1] if earlier and not found else None


def model_of(traded: Iterable[date], starts: Iterable[int]) -> dict[str, Model]:
    """Return the bars of each resolution, by plain arithmetic on dates."""
    dates = sorted(traded)
    return {
        "1": Model(sorted(start // 1000 for start in starts)),
        "D": Model([utc(day) for day in dates]),
        "W": Model(sorted({utc(day - timedelta(days=day.weekday())) for day in dates})),
        "M": Model(sorted({utc(day.replace(day=1)) for day in dates})),
    }


FIRST = date(2023, 11, 27)
# Days that traded, counted from the first: weeks with holidays, a Saturday, a gap of months.
TRADED = [0, 1, 2, 3, 4, 7, 9, 10, 12, 14, 35, 36, 40, 130, 131, 133, 159, 160, 161, 190, 192]


def test_any_request_is_answered_as_a_naive_model_answers() -> None:
    """Exactly countback bars before `to` if there are; else the range, or the bar before it."""
    traded = [FIRST + timedelta(days=number) for number in TRADED]
    opens = [midnight_of(day) + OPENS - MIDNIGHT for day in traded]
    starts = [one + number * MINUTE for one in opens for number in (0, 1, 2, 5, 374)]
    own = series().pk
    Candle.objects.bulk_create(
        [
            *(candle(start, series_id=own) for start in starts),
            *(candle(midnight_of(day), RELIANCE, Interval.DAY, series_id=own) for day in traded),
        ]
    )
    models = model_of(traded, starts)
    edges = sorted(
        {edge + more for model in models.values() for edge in model.times for more in (-1, 0, 1)}
    )
    moments = st.one_of(st.sampled_from(edges), st.integers(edges[0] - 10**6, edges[-1] + 10**6))

    @given(
        st.sampled_from(sorted(models)),
        moments,
        moments,
        st.none() | st.integers(1, 8) | st.integers(1, 300),
    )
    def check(resolution: str, one: int, other: int, countback: int | None) -> None:
        start, end = sorted((one, other))
        query: dict[str, Any] = {"resolution": resolution, "from_": start, "to": end}
        answer = get(**query, **({"countback": countback} if countback else {}))
        times, next_time = models[resolution].answer(start, end, countback)
        assert answer["s"] == ("ok" if times else "no_data")
        assert answer.get("t", []) == times and answer.get("nextTime") == next_time
        assert {len(answer[name]) for name in "tohlcv" if times} <= {len(times)}

    check()


def test_weekly_bar_is_the_whole_week() -> None:
    """Also of a request that ends within the week: its open, close, extremes and volume."""
    for number, (low, high) in enumerate([("99", "101"), ("98", "102"), ("97.5", "100.5")]):
        candle(
            MIDNIGHT - 4 * DAY_MS + number * DAY_MS,
            interval=Interval.DAY,
            prices=("100", high, low, f"{100 + number}"),
        ).save()
    answer = get(resolution="W", from_=0, to=utc("2024-04-02"))
    assert [answer[name] for name in "tohlcv"] == [
        *([utc("2024-04-01")], [100], [102], [97.5], [102], [30]),
    ]
    assert Decimal(str(answer["l"][0])) == Decimal("97.5")
