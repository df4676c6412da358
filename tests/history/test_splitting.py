"""A batch that the database does not take is stored in parts; what is bad is left out alone."""

from collections.abc import Iterator, Sequence

import pytest
from django.db import OperationalError, connections, transaction
from psycopg.errors import OutOfMemory
from redis import Redis

from quotes.history.models import Candle, Gap, LogPosition, Series, Tick
from quotes.history.recording import splitting
from quotes.history.recording.batches import read_entry
from quotes.history.recording.splitting import store_in_parts
from quotes.history.recording.writer import HistoryWriter
from quotes.history.router import ALIAS
from quotes.history.rows import TickValues
from quotes.history.tables import partitions, postgres
from quotes.history.tables.base import Tables
from quotes.history.tables.opening import open_tables
from quotes.runtime.clock import DAY_MS, day_number, now_ms
from quotes.store.tick_log import BEGINNING, LogReader, count_key, log_key
from tests.history.conftest import HistoryDatabase, migrate, use
from tests.history.logs import OPENING, FixedCalendars, log, log_row, record, recorder
from tests.postgres import PostgresServer, find_program

REFUSALS = {
    "sqlite": "CREATE TRIGGER no_evil BEFORE INSERT ON history_tick WHEN NEW.price LIKE '666%%'"
    " BEGIN SELECT RAISE(ABORT, 'evil'); END",
    "postgresql": "ALTER TABLE history_tick ADD CONSTRAINT no_evil CHECK (price <> 666)",
}


@pytest.fixture
def fussy(history: HistoryDatabase) -> Iterator[HistoryDatabase]:
    """A database that refuses ticks of 666 rupees."""
    with connections[ALIAS].cursor() as cursor:
        cursor.execute(REFUSALS[history.vendor])
    yield history
    if history.vendor == "postgresql":
        with connections[ALIAS].cursor() as cursor:
            cursor.execute("ALTER TABLE history_tick DROP CONSTRAINT no_evil")


def prices() -> list[str]:
    return [
        str(price) for price in Tick.objects.order_by("position").values_list("price", flat=True)
    ]


def test_tick_that_the_database_refuses_is_left_out_alone(
    redis: Redis, fussy: HistoryDatabase
) -> None:
    """Every other tick is stored once, in its place, with its candles; the gap counts the rest."""
    rows = [
        log_row(price=price, timestamp=OPENING + at, volume=at)
        for at, price in enumerate(["1", "2", "666", "4", "5", "666", "666", "8"])
    ]
    log(redis, rows[:1], entry_id="1000-0")
    log(redis, rows[1:7], entry_id="2000-0")
    log(redis, rows[7:], entry_id="3000-0")
    one = recorder(redis)
    one.run()
    assert prices() == ["1", "2", "4", "5", "8"]
    assert list(Tick.objects.order_by("position").values_list("position", flat=True)) == [
        *(1, 2, 4, 5, 8)
    ]
    gap = Gap.objects.get()
    assert (gap.reason, gap.begins, gap.ends, gap.ticks) == ("refused", 1000, 2000, 3)
    minute = Candle.objects.get(interval=1)
    assert (str(minute.high), minute.ticks, minute.volume) == ("8", 5, 7)
    assert (one.counters.recorded, one.counters.refused, one.counters.gaps) == (5, 3, 1)
    position = LogPosition.objects.get()
    assert (position.entry_id, position.n, position.part_of) == ("3000-0", 8, "")
    assert record(redis).recorded == 0


def test_recorder_continues_within_an_entry(redis: Redis, fussy: HistoryDatabase) -> None:
    """One that ended between two parts of an entry stores the others, and none twice."""
    rows = [log_row(price=price, timestamp=OPENING + at) for at, price in enumerate("12345")]
    log(redis, [*rows, log_row(price="666"), log_row(price="7", timestamp=OPENING + 6)])
    one = recorder(redis)
    stored = 0

    def stop(*arguments: object, **options: object) -> Iterator[splitting.StoredPart]:
        nonlocal stored
        for part in store_in_parts(*arguments, **options):  # type: ignore[arg-type]
            stored += part.stored.ticks
            one.interrupt.requested = True
            yield part

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("quotes.history.recording.recorder.store_in_parts", stop)
        one.run()
    assert 0 < stored < 6 and len(prices()) == stored
    counters = record(redis)
    assert counters.recorded == 6 - stored and counters.refused == 1
    assert prices() == ["1", "2", "3", "4", "5", "7"]
    assert Candle.objects.get(interval=1).ticks == 6
    assert not Gap.objects.exclude(reason="refused").exists()


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("time beyond a column", log_row(timestamp=2**63)),
        ("time after the year 9999", log_row(timestamp=10**15)),
        ("number beyond a column", log_row(seq=2**63)),
        ("no symbol", ("*", *log_row()[1:])),
        ("NUL", ("A\0B", *log_row()[1:])),
        ("long name", ("N" * 200, *log_row()[1:])),
        ("no price", (*log_row()[:4], log_row()[4].replace(b"2950.50", b"none"), True, 0)),
    ],
)
def test_odd_entries_of_the_log_stop_nothing(
    redis: Redis, history: HistoryDatabase, name: str, bad: tuple[object, ...]
) -> None:
    """No publisher can send these; whatever wrote them, the ticks around them are stored."""
    log(redis, [log_row(price="1"), bad, log_row(price="2", timestamp=OPENING + 1)])  # type: ignore[list-item]
    log(redis, [log_row(price="3", timestamp=OPENING + 2)])
    counters = record(redis)
    assert [price for price in prices() if price != "2950.50"] == ["1", "2", "3"]
    assert counters.recorded + counters.refused + counters.bad == 4
    assert record(redis).recorded == 0


def test_count_beyond_a_column_stops_nothing(redis: Redis, history: HistoryDatabase) -> None:
    """The entry is refused as a whole."""
    log(redis, [log_row(price="1")])
    count = redis.get(count_key(1))
    fields = dict(redis.xrange(log_key(1))[0][1])  # type: ignore[arg-type, index]
    redis.xadd(log_key(1), {**fields, b"n": 10**30})
    redis.xadd(log_key(1), {b"n": 10**30})
    redis.set(count_key(1), count)  # type: ignore[arg-type]
    log(redis, [log_row(price="3", timestamp=OPENING + 2)])
    record(redis)
    assert prices() == ["1", "3"]
    assert {gap.reason for gap in Gap.objects.all()} == {"refused"}


@pytest.fixture(scope="module")
def small_server() -> Iterator[PostgresServer]:
    """A server with room for few locks."""
    if find_program("postgres") is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt install postgresql)")
    with PostgresServer("max_connections=12", "max_locks_per_transaction=10") as server:
        yield server


def test_ticks_of_hundreds_of_days_need_few_locks(
    redis: Redis,
    small_server: PostgresServer,
    django_db_blocker: object,
) -> None:
    """Whatever their dates: one transaction locks few partitions."""
    count = 600
    url = small_server.url(small_server.create())
    migrate(url, django_db_blocker)  # type: ignore[arg-type]
    first = 200_000_000_000
    stamps = [first + at * (now_ms() - first) // count for at in range(count)]
    for at in range(0, count, 200):
        log(redis, [log_row("AAPL", timestamp=stamp) for stamp in stamps[at : at + 200]])
    with django_db_blocker.unblock():  # type: ignore[attr-defined]
        before = connections[ALIAS]
        use(url)
        try:
            assert record(redis).recorded == count
            assert Tick.objects.filter(series=Series.objects.get()).count() == count
            assert Candle.objects.filter(interval=1440).count() == count
            assert not Gap.objects.exists()
        finally:
            connections[ALIAS].close()
            connections[ALIAS] = before


@pytest.mark.parametrize("history", ["postgresql"], indirect=True)
def test_batch_of_many_days_is_cut(
    redis: Redis, history: HistoryDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry of 40 partitions is stored in transactions of 8 at most, each tick once."""
    monkeypatch.setattr(postgres, "_MOST_PARTITIONS", 8)
    log(redis, [log_row(timestamp=OPENING + day * DAY_MS) for day in range(40)])
    batches: list[int] = []
    store = HistoryWriter.store

    def note(self: HistoryWriter, *arguments: object, **options: object) -> object:
        stored = store(self, *arguments, **options)  # type: ignore[arg-type]
        batches.append(stored.ticks)
        return stored

    monkeypatch.setattr(HistoryWriter, "store", note)
    record(redis)
    assert batches == [5] * 8
    assert Tick.objects.count() == 40
    assert len(partitions.Partitions(connections[ALIAS]).existing()) == 43


def test_edit_before_a_refused_batch_is_not_forgotten(redis: Redis, fussy: HistoryDatabase) -> None:
    """A recorder still learns that an import has changed history."""
    log(redis, [log_row(price="2")])
    record(redis)
    writer = HistoryWriter(shards=[1], calendars=FixedCalendars()(), grace_ms=0)
    with transaction.atomic(using=ALIAS):
        open_tables().note_edit()
    redis.xtrim(log_key(1), maxlen=0)
    log(redis, [log_row(price="1"), log_row(price="666")])
    raw = LogReader(redis, {1: BEGINNING}, page=10).read(wait_ms=None)
    list(store_in_parts(writer, [read_entry(one) for one in raw], now_ms=0))
    assert writer.take_edited() and not writer.take_edited()


@pytest.mark.parametrize("history", ["postgresql"], indirect=True)
def test_tick_of_a_day_that_was_pruned_meanwhile_is_stored(
    redis: Redis, history: HistoryDatabase
) -> None:
    """Its partition is made again."""
    calendars = FixedCalendars()()
    writer = HistoryWriter(shards=[1], calendars=calendars, grace_ms=0)
    reader = LogReader(redis, {1: BEGINNING}, page=10)
    for price in "12":
        log(redis, [log_row(price=price, timestamp=OPENING + int(price))])
        entries = [read_entry(raw) for raw in reader.read(wait_ms=None)]
        assert [part.refused for part in store_in_parts(writer, entries, now_ms=0)] == [""]
        assert prices() == [price]
        pruned = partitions.Partitions(connections[ALIAS])
        assert pruned.drop_before(day_number(now_ms())) == 1


def test_large_transactions_are_cut_and_a_full_disk_is_waited_out(
    redis: Redis, history: HistoryDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is left out for a reason that is not the tick's own."""
    insert = type(open_tables()).insert_ticks
    failures = [OperationalError("the disk is full")]

    def fail(self: Tables, rows: Sequence[TickValues]) -> None:
        if len(rows) > 3:
            raise OperationalError("too large") from OutOfMemory("out of shared memory")
        if failures:
            raise failures.pop()
        insert(self, rows)

    monkeypatch.setattr(type(open_tables()), "insert_ticks", fail)
    log(redis, [log_row(price=price, timestamp=OPENING + int(price)) for price in "1234567"])
    counters = record(redis)
    assert prices() == list("1234567")
    assert (counters.recorded, counters.refused, counters.gaps) == (7, 0, 0)
