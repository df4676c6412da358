"""Exports are imported the same, to the last digit, in each format; on SQLite and PostgreSQL."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from instruments.errors import BadSymbol
from instruments.keys import InstrumentKey
from quotes.errors import BadHistoryQuery
from quotes.history.candles.intervals import Interval
from quotes.history.candles.sessions import calendars
from quotes.history.files.import_files import HistoryFile
from quotes.history.files.import_rows import RowReader
from quotes.history.files.importing import history_import
from quotes.history.models import Candle, Gap, LogPosition, Series, Tick
from quotes.history.queries.selectors import candles, ticks
from quotes.json_numbers import MAX_DIGITS
from quotes.ticks import encode_json, parse_tick
from tests.history.logs import HOURS, OPENING, log, log_row, record
from tests.history.test_importing import export_file, progress

pytestmark = pytest.mark.usefixtures("history")


def is_symbol(text: str) -> bool:
    try:
        return not InstrumentKey.parse(text).segment
    except BadSymbol:
        return False


def is_legal(text: str) -> bool:
    return len(text) <= MAX_DIGITS and abs(Decimal(text).adjusted()) <= MAX_DIGITS


names = st.one_of(
    st.sampled_from(["=A", "'=A", "-A", "@A", 'a"b', "a,b", "M&M", "NIFTY 50", "1e5", "null"]),
    st.text(min_size=1, max_size=12).filter(is_symbol),
)
prices = st.one_of(
    st.from_regex(r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,12})?", fullmatch=True),
    st.from_regex(r"-?(0|[1-9][0-9]{0,3})(\.[0-9]{1,5})?[eE][+-]?[0-9]{1,2}", fullmatch=True),
    st.just("-" + "9" * 29),
    st.just("0." + "0" * 27 + "1"),
).filter(is_legal)
notes = st.one_of(st.none(), st.text(max_size=40), st.just('"' * 7000), st.just("\r\n,'=1"))
rows = st.lists(
    st.tuples(names, st.integers(0, 5 * 60_000), prices, st.none() | st.integers(0, 10**17), notes),
    min_size=1,
    max_size=12,
)


def clear(redis: Redis) -> None:
    for model in (Tick, Candle, Series, Gap, LogPosition):
        model.objects.all().delete()
    redis.flushall()


def added(path: Path) -> int:
    """Import a file, and return how many ticks were new."""
    reader = RowReader(resolve=InstrumentKey.parse, calendars=calendars(HOURS, all_hours=True))
    return history_import(
        file=HistoryFile(path), reader=reader, progress=progress(), warn=lambda sentence: None
    ).added


def contents(*, exact: bool) -> list[tuple[Any, ...]]:
    """Return all ticks and one-minute candles.

    Args:
        exact: prices with their digits, not as numbers.
    """
    found: list[tuple[Any, ...]] = []
    for key in map(InstrumentKey.parse, Series.objects.values_list("key", flat=True)):
        found += [
            (*tick, tick.frame) if exact else (*tick[:6], Decimal(tick.price), *tick[7:])
            for tick in ticks(key=key)
        ]
        for bar in candles(keys=[key], interval=Interval.MINUTE):
            digits = map(str, bar[4:8]) if exact else bar[4:8]
            found.append((*bar[:4], *digits, *bar[8:11]))
    return sorted(found, key=repr)


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
@settings(
    max_examples=5,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(rows)
def test_recorded_ticks_go_out_and_come_back(
    redis: Redis, tmp_path: Path, name: str, rows: list[tuple[str, int, str, int | None, Any]]
) -> None:
    """Whatever is legal live is exported, and imported as the same frames and candles."""
    clear(redis)
    logged = []
    for number, (symbol, after, price, volume, note) in enumerate(rows):
        text = b'{"symbol":%b,"price":%b,"timestamp":%d%b}' % (
            encode_json(symbol),
            price.encode(),
            OPENING + after,
            b"" if note is None else b',"note":%b' % encode_json(note),
        )
        tick = parse_tick(text, now_ms=OPENING, ahead_ms=10**9)
        logged.append(
            log_row(symbol, tick.price_text, tick.timestamp, volume, seq=number, others=tick.others)
        )
    log(redis, logged)
    record(redis, all_hours=True)
    is_parquet = name.endswith("parquet")
    before = contents(exact=not is_parquet)
    path = tmp_path / name
    try:
        assert export_file(path, None) == len(rows)
    except BadHistoryQuery as error:
        assert is_parquet and "more digits than an Arrow column" in str(error)
        return
    assert added(path) == 0
    clear(redis)
    assert added(path) == len(rows)
    assert contents(exact=not is_parquet) == before
