"""Replay: publishing a recording again, at the pace of its times or as fast as it is taken.

Reading a recording is in `recordings.py`; whether its ticks would be shown is in
`checks.py`. The order of the file is kept: rows are in order of arrival, and a late
tick is replayed late.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import groupby, islice
from pathlib import Path

import msgspec

from quotes.publish.replay.recordings import Findings, Scan, Selection, read_recording
from quotes.runtime.clock import DAY_MS, day_of_date, india_time, now_ms
from quotes.runtime.interrupts import Interrupt
from quotes.runtime.progress import Progress, duration
from quotes.ticks import MAX_AHEAD_MS, Tick

Publish = Callable[[Sequence[Tick]], int]

BATCH = 1000
# Ticks of one recorded second are spread over that second, in steps of no less than this.
STEP_S = 0.05
# Times further apart than this are a night, or a wrong clock: they are not waited for.
LONGEST_GAP_MS = 15 * 60_000
# Who is further behind than this goes on from where it is and does not hurry.
LATE_S = 1.0
WARNINGS = 10


@dataclass(frozen=True)
class Plan:
    """What is replayed and how.

    Attributes:
        speed: times real time; None is as fast as it is taken.
        onto: the recording's first day is moved onto this date, later days keep their distance.
        now: each tick gets the present as its time.
    """

    path: Path
    selection: Selection = field(default_factory=Selection)
    speed: float | None = 1.0
    onto: date | None = None
    now: bool = False

    def stamp(self, scan: Scan) -> Callable[[Tick], Tick]:
        """Return what gives a tick the time under which it is published."""
        if self.now:
            return lambda tick: restamped(tick, now_ms())
        if self.onto is None:
            return lambda tick: tick
        shift = (day_of_date(self.onto) - scan.first_day) * DAY_MS
        return lambda tick: restamped(tick, tick.timestamp + shift)


@dataclass
class ReplayReport:
    """What a replay did."""

    published: int = 0
    ahead: int = 0
    symbols: int = 0
    elapsed_s: float = 0.0
    interrupted: bool = False
    findings: Findings = field(default_factory=Findings)

    @property
    def summary(self) -> str:
        rate = self.published / self.elapsed_s if self.elapsed_s else 0
        parts = [
            f"published {self.published:,} ticks of {self.symbols} symbols "
            f"in {duration(self.elapsed_s)} ({rate:,.0f}/s)"
        ]
        if self.interrupted:
            parts.append("stopped before the end")
        if self.findings.bad:
            parts.append(f"{self.findings.bad:,} bad rows left out")
        if self.findings.timeless:
            parts.append(
                f"{self.findings.timeless:,} rows without a time got that of the one before"
            )
        if self.ahead:
            parts.append(f"{self.ahead:,} ticks more than a day in the future left out")
        return "; ".join(parts)


def replay(
    plan: Plan,
    scan: Scan,
    *,
    publish: Publish,
    interrupt: Interrupt,
    progress: Progress,
) -> ReplayReport:
    """Publish what the plan selects and return what was done.

    Args:
        publish: takes a batch in order and returns how many of it were published; Redis here, or
            any other sink. When it returns fewer, the replay was interrupted.
        interrupt: asked between batches; the batch in hand is finished.

    Raises:
        BadRecording: the file changed since it was scanned, or cannot be read any more.
    """
    began = time.monotonic()
    report = ReplayReport(symbols=len(scan.first))
    report.findings.complain = Complaints(progress.tell)
    ticks = read_recording(plan.path, plan.selection, report.findings)
    stamp = plan.stamp(scan)
    pacer = Pacer(plan.speed, tell=progress.tell) if plan.speed is not None else None
    for due, batch in batches(ticks, pacer):
        if interrupt() or (due is not None and not interrupt.sleep_until(due)):
            report.interrupted = True
            break
        horizon = now_ms() + MAX_AHEAD_MS
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
    """Yield when a batch is due, by time.monotonic(), and its ticks; None means at once."""
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
    """Says when what was recorded at a time is due, by time.monotonic().

    Args:
        speed: times real time.
        tell: called with a sentence when a gap is not waited for.
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
                    f"not waiting for {ist(recorded_ms)}, the tick before it is of "
                    f"{ist(self.recorded_ms)}"
                )
            self.recorded_ms, self.due_at = recorded_ms, now
        elif gap_ms > 0:  # a late tick is due at once and moves no clock
            self.recorded_ms = recorded_ms
            self.due_at += gap_ms / 1000 / self.speed
        if now > self.due_at + LATE_S:
            self.due_at = now
        return self.due_at


class Complaints:
    """Passes the first sentences on and then one that there are more."""

    def __init__(self, tell: Callable[[str], object]) -> None:
        self.tell = tell
        self.count = 0

    def __call__(self, sentence: str) -> None:
        self.count += 1
        if self.count <= WARNINGS:
            self.tell(sentence)
        elif self.count == WARNINGS + 1:
            self.tell("and more like these, counted at the end")


def ist(timestamp: int) -> str:
    """Return a time for people: `2021-04-16 09:15:01 IST`."""
    return f"{india_time(timestamp):%Y-%m-%d %H:%M:%S} IST"
