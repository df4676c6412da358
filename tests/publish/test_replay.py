"""Replay: order, pace, times, interruption, and an outage in the middle."""

import io
import threading
import time
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from quotes.publish.patient_publisher import PatientPublisher
from quotes.publish.publishing import publish_ticks
from quotes.publish.replay import replay as replay_module
from quotes.publish.replay.recordings import Selection, read_recording, scan_recording
from quotes.publish.replay.replay import Pacer, ReplayPlan, ReplayReport, replay
from quotes.runtime.clock import IST, now_ms, today_in_india
from quotes.runtime.interrupts import Interrupt
from quotes.runtime.progress import Progress
from quotes.store.inbox import MARK
from quotes.ticks import Tick, encode_tick
from tests.valkey import ValkeyProcess
from tests.waiting import wait_until

SLICE = Path(__file__).parent / "data" / "nse-ticks-slice.csv"


class Sink:
    """A sink that is not Redis: keeps what is published, and when."""

    def __init__(self) -> None:
        self.ticks: list[Tick] = []
        self.times: list[float] = []

    def __call__(self, ticks: Sequence[Tick]) -> int:
        self.ticks += ticks
        self.times += [time.monotonic()] * len(ticks)
        return len(ticks)


def run(
    path: Path = SLICE, *, sink: Any, interrupt: Interrupt | None = None, **options: Any
) -> ReplayReport:
    plan = ReplayPlan(path=path, **options)
    scan = scan_recording(path, plan.selection)
    with Progress(scan.ticks, stream=io.StringIO()) as progress:
        return replay(
            plan, scan, publish=sink, interrupt=interrupt or Interrupt(), progress=progress
        )


def recording(folder: Path, *times: str) -> Path:
    path = folder / "day.csv"
    rows = [f"2021-04-16 {time},M&M,{800 + at}.50,{at}\n" for at, time in enumerate(times)]
    path.write_text("timestamp,symbol,ltp,volume\n" + "".join(rows))
    return path


def test_everything_is_published_in_the_order_of_the_file() -> None:
    """At full speed a replay hands all ticks to its sink as they were recorded."""
    sink = Sink()
    report = run(sink=sink, speed=None)
    assert sink.ticks == list(read_recording(SLICE))
    assert (report.published, report.symbols, report.interrupted) == (300, 3, False)
    assert "published 300 ticks of 3 symbols" in report.summary
    assert "14 rows without a time" in report.summary


def test_batches_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many ticks share a second, no batch has more than BATCH."""
    monkeypatch.setattr(replay_module, "BATCH", 7)
    sizes: list[int] = []

    def publish(ticks: Sequence[Tick]) -> int:
        sizes.append(len(ticks))
        return len(ticks)

    run(sink=publish, speed=None)
    assert sum(sizes) == 300 and max(sizes) == 7
    sizes.clear()
    run(sink=publish, speed=10_000.0)
    assert sum(sizes) == 300 and max(sizes) <= 7


def test_pace_follows_the_recorded_times(tmp_path: Path) -> None:
    """At ten times real time, three recorded seconds last 0.3 s, and a second's ticks spread."""
    path = recording(tmp_path, *["09:15:00"] * 4, "09:15:01", "09:15:03")
    sink = Sink()
    run(path, sink=sink, speed=10.0)
    after = [moment - sink.times[0] for moment in sink.times]
    assert after[-1] >= 0.3 and after[-2] >= 0.1
    assert after[3] >= 0.05  # the second half of the first second
    assert after[-1] < 3


def test_late_tick_is_replayed_where_it_came(tmp_path: Path) -> None:
    """A tick that came two seconds late comes late again, and holds nothing up."""
    path = recording(tmp_path, "09:15:02", "09:15:00", "09:15:02", "09:15:03")
    sink = Sink()
    run(path, sink=sink, speed=20.0)
    assert [tick.price_text for tick in sink.ticks] == ["800.50", "801.50", "802.50", "803.50"]
    assert sink.times[-1] - sink.times[0] < 2


def test_nights_and_wrong_clocks_are_not_waited_for() -> None:
    """A gap of more than 15 minutes, in either direction, is skipped and reported."""
    sentences: list[str] = []
    pacer = Pacer(1.0, tell=sentences.append)
    start = 1_618_544_700_000
    first = pacer.due(start)
    assert pacer.due(start + 800_000) == first + 800
    assert pacer.due(start + 90_000_000) < first + 1
    assert pacer.due(start) < first + 1
    assert sentences[0] == (
        "skipping the gap between 2021-04-16 09:28:20 IST and 2021-04-17 10:15:00 IST"
    )
    assert len(sentences) == 2


def test_who_falls_behind_does_not_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """After an outage a replay goes on at its pace, it does not rush through what it missed."""
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    pacer = Pacer(1.0, tell=print)
    assert pacer.due(1_000_000_000_000) == 1000
    now = 1060.0
    assert pacer.due(1_000_000_001_000) == 1060
    assert pacer.due(1_000_000_002_000) == 1061


def test_now_stamps_each_tick_with_the_present() -> None:
    """With --now a recorded day looks as if it happened now; all else is kept."""
    sink = Sink()
    before = now_ms()
    run(sink=sink, speed=None, now=True)
    after = now_ms()
    assert all(before <= tick.timestamp <= after for tick in sink.ticks)
    assert [(tick.symbol, tick.price_text, tick.fields) for tick in sink.ticks] == [
        (tick.symbol, tick.price_text, tick.fields) for tick in read_recording(SLICE)
    ]


def test_date_moves_the_first_day_and_keeps_distances() -> None:
    """With --date the first day gets that date at the same times of day, the next its distance."""
    sink = Sink()
    run(sink=sink, speed=None, onto=date(2024, 4, 5))
    moved = [datetime.fromtimestamp(tick.timestamp / 1000, IST) for tick in sink.ticks]
    assert moved[0] == datetime(2024, 4, 5, 10, 12, 55, tzinfo=IST)
    assert {moment.date() for moment in moved} == {date(2024, 4, 5), date(2024, 4, 8)}


def test_ticks_of_a_far_future_are_left_out_and_counted() -> None:
    """What the bridge would refuse, since it lies too far ahead, is not published."""
    sink = Sink()
    today = today_in_india()
    report = run(sink=sink, speed=None, onto=today - timedelta(days=1))
    assert report.published == len(sink.ticks) == 254
    assert report.ahead == 46 and "46 ticks more than 120 s in the future" in report.summary


def test_interrupt_finishes_the_batch_in_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends a replay behind the batch that is being published, and the summary says so."""
    monkeypatch.setattr(replay_module, "BATCH", 10)
    interrupt = Interrupt()
    sink = Sink()

    def publish(ticks: Sequence[Tick]) -> int:
        interrupt.requested = len(sink.ticks) >= 50
        return sink(ticks)

    report = run(sink=publish, interrupt=interrupt, speed=None)
    assert report.published == len(sink.ticks) == 60
    assert report.interrupted and "stopped before the end" in report.summary


def test_interrupt_ends_a_wait(tmp_path: Path) -> None:
    """Ctrl-C while a replay waits for the next recorded second ends it at once."""
    path = recording(tmp_path, "09:15:00", "09:25:00")
    interrupt = Interrupt()
    sink = Sink()

    def publish(ticks: Sequence[Tick]) -> int:
        interrupt.requested = True
        return sink(ticks)

    assert run(path, sink=publish, interrupt=interrupt, speed=1.0).interrupted
    assert len(sink.ticks) == 1


def test_subscribers_hear_every_tick(redis: Redis) -> None:
    """Through Redis every tick is heard in order, and the keys hold the last of each symbol."""
    with redis.pubsub(ignore_subscribe_messages=True) as pubsub:  # type: ignore[no-untyped-call]
        pubsub.psubscribe("stock:*")
        wait_until(lambda: redis.pubsub_numpat() == 1)
        run(sink=lambda ticks: publish_ticks(ticks, client=redis), speed=None)
        heard: list[bytes] = []

        def all_heard() -> bool:
            while message := pubsub.get_message():
                heard.append(message["data"].removesuffix(MARK))
            return len(heard) == 300

        wait_until(all_heard)
    assert heard == [encode_tick(tick) for tick in read_recording(SLICE)]


def test_outage_of_redis_loses_no_tick(redis: Redis, redis_server: ValkeyProcess) -> None:
    """Redis killed in the middle of a replay and started again: every tick is published."""
    sentences: list[str] = []
    patient = PatientPublisher(redis, tell=sentences.append)
    sink = Sink()

    def publish(ticks: Sequence[Tick]) -> int:
        if len(sink.ticks) > 100 and not sentences:
            redis_server.kill()
            threading.Timer(0.3, redis_server.start).start()
        count = patient(ticks)
        return sink(ticks[:count])

    report = run(sink=publish, speed=100.0, selection=Selection(day=date(2021, 4, 16)))
    assert report.published == len(sink.ticks) == 254
    assert [sentence[:5] for sentence in sentences] == ["Redis", "Redis"]
    last = [tick for tick in sink.ticks if tick.symbol == "M&M"][-1]
    assert redis.get("stock:M&M") == encode_tick(last)
