"""Progress of a long-running command: a bar on a terminal, a line now and then anywhere else."""

import time
from types import TracebackType
from typing import TextIO

from tqdm import tqdm

LINE_EVERY_S = 10.0


class Progress:
    """Counts ticks towards a total and shows how far it is, how fast, and how long it will take.

    Args:
        total: how many ticks there will be.
        stream: where to show it; a bar if this is a terminal.
    """

    def __init__(self, total: int, *, stream: TextIO) -> None:
        self.total = total
        self.stream = stream
        self.count = 0
        self.began = self.line_at = time.monotonic()
        # disable=None: no bar unless the stream is a terminal.
        self.bar = tqdm(
            total=total,
            unit=" ticks",
            unit_scale=True,
            dynamic_ncols=True,
            file=stream,
            disable=None,
        )

    def add(self, count: int) -> None:
        self.count += count
        self.bar.update(count)
        now = time.monotonic()
        if self.bar.disable and now - self.line_at >= LINE_EVERY_S:
            self.line_at = now
            self.tell(self.line(now - self.began))

    def line(self, elapsed_s: float) -> str:
        rate = self.count / elapsed_s
        left = duration((self.total - self.count) / rate) if rate else "unknown time"
        share = self.count / self.total if self.total else 1
        return f"{self.count:,} of {self.total:,} ticks ({share:.0%}), {rate:,.0f}/s, {left} left"

    def tell(self, sentence: str) -> None:
        """Write a line without spoiling the bar."""
        with tqdm.external_write_mode(file=self.stream):
            self.stream.write(f"{sentence}\n")
            self.stream.flush()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bar.close()


def duration(seconds: float) -> str:
    """Return a time span for people: `45 s`, `3:05 min`, `6:15 h`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02} min"
    return f"{whole // 3600}:{whole // 60 % 60:02} h"
