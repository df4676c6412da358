"""Files of ticks, one JSON object a line: publishing them, with a word on each bad line."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import BinaryIO

import redis

from instruments.errors import InstrumentsError
from quotes.errors import BadTick
from quotes.publish.publishing import StaleTick, publish_ticks, stale_ticks, tick_name
from quotes.store.listings import AcceptedNames
from quotes.store.redis_clock import redis_clock
from quotes.ticks import MAX_TICK_BYTES, Tick, parse_tick

BATCH = 500
MAX_WARNINGS = 10


@dataclass
class FileReport:
    """What became of the lines of a file."""

    published: int = 0
    bad: int = 0
    stale: int = 0

    @property
    def summary(self) -> str:
        return (
            f"published {self.published} ticks, {self.bad} invalid lines, "
            f"{self.stale} older than the latest price"
        )


def stale_warning(stale: StaleTick) -> str:
    """Return the sentence that tells a publisher why a tick is not shown, and the cure."""
    was, latest = (
        datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")
        for ms in (stale.tick.timestamp, stale.latest_timestamp)
    )
    return (
        f"{stale.key} at {was} is older than its latest price at {latest} and is not shown: "
        f"publish with a newer timestamp, or start over with `manage.py forget_price '{stale.key}'`"
    )


def publish_price_file(
    path: str,
    *,
    client: redis.Redis,
    warn: Callable[[str], object],
    sink: Callable[[Sequence[Tick]], int] | None = None,
) -> FileReport:
    """Publish each line of a file and return what became of them.

    Args:
        path: a file, or "-" for standard input, whose lines are published as they come.
        warn: called with a sentence for each of the first bad and stale lines.
        sink: takes batches instead of Redis, where no latest price is looked up then.

    Raises:
        OSError: the file cannot be read.
    """
    report = FileReport()
    batch: list[Tick] = []
    names = AcceptedNames()

    def flush() -> None:
        if sink is not None:
            report.published += sink(batch)
            batch.clear()
            return
        for one in stale_ticks(batch, client=client):
            report.stale += 1
            if report.stale <= MAX_WARNINGS:
                warn(stale_warning(one))
        report.published += publish_ticks(batch, client=client)
        batch.clear()

    with opened(path) as file:
        for line_number, line in lines(file):
            if sink is None:
                redis_clock.measure_if_due(client)
            now, ahead_ms = redis_clock.now_ms(), redis_clock.max_ahead_ms()
            try:
                tick = parse_tick(line, now_ms=now, ahead_ms=ahead_ms)
                names.check(tick_name(tick), tick)
                batch.append(tick)
            except (BadTick, InstrumentsError) as error:
                report.bad += 1
                if report.bad <= MAX_WARNINGS:
                    warn(f"{path}, line {line_number}: {error}")
            # A pipe is published line by line, so that nothing waits for a batch to fill.
            if len(batch) >= (1 if path == "-" else BATCH):
                flush()
        flush()
    return report


@contextmanager
def opened(path: str) -> Iterator[BinaryIO]:
    if path == "-":
        yield sys.stdin.buffer
    else:
        with open(path, "rb") as file:
            yield file


def lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield the number and text of each line that is not blank; an over-long one comes cut."""
    number = 0
    while line := file.readline(MAX_TICK_BYTES + 2):
        number += 1
        rest = line
        while not rest.endswith(b"\n") and (rest := file.readline(MAX_TICK_BYTES)):
            pass
        if line := line.rstrip(b"\r\n"):
            yield number, line
