"""Replay: publishing a recording again, at the pace of its times or as fast as possible.

`recordings.py` reads a recording; `checks.py` finds out whether its ticks will be shown. The order
of the file is kept: rows are in order of arrival, and a late tick is replayed late.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import groupby, islice
from pathlib import Path

import msgspec

from quotes.conf import conf
from quotes.publish.replay.recordings import RowReport, Scan, Selection, read_recording
from quotes.runtime.clock import DAY_MS, day_of_date, india_time
from quotes.runtime.interrupts import Interrupt
from quotes.runtime.progress import Progress, duration
from quotes.store.redis_clock import redis_clock
from quotes.ticks import Tick

Publish = Callable[[Sequence[Tick]], int]  # a batch, in order -> how many were published

BATCH = 1000
# Ticks of one recorded second are spread over that second, in steps of no less than this.
STEP_S = 0.05
# A longer gap is a night or a wrong clock, and is skipped.
LONGEST_GAP_MS = 15 * 60_000
# A replay that is further behind continues at its pace and does not catch up.
LATE_S = 1.0
MAX_WARNINGS = 10


@dataclass(frozen=True)
class ReplayPlan:
    """What to replay and how.

    Attributes:
        speed: times real time; None: as fast as possible.
        onto: the date to move the recording's first day to; later days keep their distance.
        now: each tick gets the present time.
    """

    path: Path
    selection: Selection = field(default_factory=Selection)
    speed: float | None = 1.0
    onto: date | None = None
    now: bool = False

    def stamp(self, scan: Scan) -> Callable[[Tick], Tick]:
        """Return a function that gives a tick the time to publish it with."""
        if self.now:
            return lambda tick: restamped(tick, redis_clock.now_ms())
        if self.onto is None:
            return lambda tick: tick
        shift = (day_of_date(self.onto) - scan.first_day) * DAY_MS
        return lambda tick: restamped(tick, tick.timestamp + shift)


@dataclass
class ReplayReport:
    """The result of a replay.

    Attributes:
        ahead: ticks left out because their time is further ahead than QUOTES_MAX_AHEAD_S.
        row_report: counts of the rows read.
    """

    published: int = 0
    ahead: int = 0
    symbols: int = 0
    elapsed_s: float = 0.0
    interrupted: bool = False
    row_report: RowReport = field(default_factory=RowReport)

    @property
    def summary(self) -> str:
        rate = self.published / self.elapsed_s if self.elapsed_s else 0
        parts = [
            f"published {self.published:,} ticks of {self.symbols} symbols "
            f"in {duration(self.elapsed_s)} ({rate:,.0f}/s)"
        ]
        if self.interrupted:
            parts.append("stopped before the end")
        if self.row_report.bad:
            parts.append(f"{self.row_report.bad:,} bad rows skipped")
        if self.row_report.timeless:
            parts.append(
                f"{self.row_report.timeless:,} rows without a time got the time of the row before"
            )
        if self.ahead:
            parts.append(
                f"{self.ahead:,} ticks more than {conf.max_ahead_s:g} s in the future skipped"
            )
        return "; ".join(parts)


def replay(
    plan: ReplayPlan,
    scan: Scan,
    *,
    publish: Publish,
    interrupt: Interrupt,
    progress: Progress,
) -> ReplayReport:
    """Publish the selected ticks and return the result.

    Args:
        publish: publishes a batch; if it returns fewer ticks than it got, the replay ends.
        interrupt: ends the replay between batches; the batch in hand is finished.

    Raises:
        BadRecording: the file has changed since it was scanned, or can no longer be read.
    """
    began = time.monotonic()
    report = ReplayReport(symbols=len(scan.first))
    report.row_report.warn = FirstWarnings(progress.tell)
    ticks = read_recording(plan.path, plan.selection, report.row_report)
    stamp = plan.stamp(scan)
    pacer = Pacer(plan.speed, tell=progress.tell) if plan.speed is not None else None
    for due, batch in batches(ticks, pacer):
        if interrupt() or (due is not None and not interrupt.sleep_until(due)):
            report.interrupted = True
            break
        horizon = redis_clock.now_ms() + redis_clock.max_ahead_ms()
        stamped = [one for tick in batch if (one := stamp(tick)).timestamp <= horizon]
        report.ahead += len(batch) - len(stamped)
        count = publish(stamped) if stamped else 0
        report.published += count
        progress.add(len(batch))
        if count < len(stamped):
            report.interrupted = True
            break
    report.elapsed_s = time.monotonic() - began
    return report


def restamped(tick: Tick, timestamp: int) -> Tick:
    return msgspec.structs.replace(tick, timestamp=timestamp)


def batches(
    ticks: Iterable[Tick], pacer: "Pacer | None"
) -> Iterator[tuple[float | None, list[Tick]]]:
    """Yield when a batch is due, by time.monotonic() or None for at once, and its ticks."""
    if pacer is None:
        ticks = iter(ticks)
        while batch := list(islice(ticks, BATCH)):
            yield None, batch
        return
    for second, group in groupby(ticks, key=lambda tick: tick.timestamp // 1000):
        while batch := list(islice(group, BATCH)):
            due = pacer.due(second * 1000)
            steps = max(1, min(len(batch), round(1 / pacer.speed / STEP_S)))
            for step in range(steps):
                part = batch[len(batch) * step // steps : len(batch) * (step + 1) // steps]
                yield due + step / steps / pacer.speed, part


class Pacer:
    """Says when ticks recorded at a time are due, by time.monotonic().

    Args:
        speed: times real time.
        tell: called with a sentence when a gap is skipped.
    """

    def __init__(self, speed: float, *, tell: Callable[[str], object]) -> None:
        self.speed = speed
        self.tell = tell
        self.recorded_ms: int | None = None
        self.due_at = 0.0

    def due(self, recorded_ms: int) -> float:
        now = time.monotonic()
        gap_ms = 0 if self.recorded_ms is None else recorded_ms - self.recorded_ms
        if self.recorded_ms is None or abs(gap_ms) > LONGEST_GAP_MS:
            if self.recorded_ms is not None:
                self.tell(
                    f"skipping the gap between {ist(self.recorded_ms)} and {ist(recorded_ms)}"
                )
            self.recorded_ms, self.due_at = recorded_ms, now
        elif gap_ms > 0:  # a late tick is due at once and does not move the clock
            self.recorded_ms = recorded_ms
            self.due_at += gap_ms / 1000 / self.speed
        if now > self.due_at + LATE_S:
            self.due_at = now
        return self.due_at


class FirstWarnings:
    """Passes on the first ten warnings, then says that more are only counted."""

    def __init__(self, tell: Callable[[str], object]) -> None:
        self.tell = tell
        self.count = 0

    def __call__(self, sentence: str) -> None:
        self.count += 1
        if self.count <= MAX_WARNINGS:
            self.tell(sentence)
        elif self.count == MAX_WARNINGS + 1:
            self.tell("further warnings like these are counted at the end")


def ist(timestamp: int) -> str:
    """Return a timestamp as text: `2021-04-16 09:15:01 IST`."""
    return f"{india_time(timestamp):%Y-%m-%d %H:%M:%S} IST"
