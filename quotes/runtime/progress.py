"""Progress of a long-running command: a bar on a terminal, a line now and then anywhere else."""

import time
from types import TracebackType
from typing import TextIO

from tqdm import tqdm

_LINE_INTERVAL_S = 10.0


class Progress:
    """Counts and shows how much is done and how fast; with a total also how long the rest takes.

    Args:
        total: the expected count; None if it is not known.
        stream: where to show progress; as a bar if this is a terminal.
        unit: the noun for what is counted.
        action: what was done with them, such as `exported`, for lines without a total.
    """

    def __init__(
        self, total: int | None = None, *, stream: TextIO, unit: str = "ticks", action: str = "read"
    ) -> None:
        self.total = total
        self.count = 0
        self._stream = stream
        self._unit = unit
        self._action = action
        self._began = self._line_at = time.monotonic()
        # disable=None: no bar unless the stream is a terminal.
        self.bar = tqdm(
            total=total,
            unit=f" {unit}",
            unit_scale=True,
            dynamic_ncols=True,
            file=stream,
            disable=None,
        )

    @property
    def is_complete(self) -> bool:
        """Whether the count has reached the total."""
        return self.total is not None and self.count >= self.total

    def add(self, count: int, where: str = "") -> None:
        """Count some more, the last of them at `where`, such as an instrument and a date."""
        self.count += count
        if where:
            self.bar.set_postfix_str(where, refresh=False)
        self.bar.update(count)
        now = time.monotonic()
        if self.bar.disable and now - self._line_at >= _LINE_INTERVAL_S:
            self._line_at = now
            self.tell(self.line(now - self._began, where))

    def line(self, elapsed_s: float, where: str = "") -> str:
        """Return the line that is shown where there is no terminal."""
        rate = self.count / elapsed_s
        if self.total is None:
            line = f"{self.count:,} {self._unit} {self._action}, {rate:,.0f}/s"
        else:
            share = self.count / self.total if self.total else 1
            left = duration((self.total - self.count) / rate) if rate else "unknown time"
            line = (
                f"{self.count:,} of {self.total:,} {self._unit} ({share:.0%}), "
                f"{rate:,.0f}/s, {left} left"
            )
        return f"{line}, at {where}" if where else line

    def tell(self, sentence: str) -> None:
        """Write a line without spoiling the bar."""
        with tqdm.external_write_mode(file=self._stream):
            self._stream.write(f"{sentence}\n")
            self._stream.flush()

    def close(self) -> None:
        """Take the bar away, or leave it complete."""
        self.bar.close()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def duration(seconds: float) -> str:
    """Return a time span for people: `45 s`, `3:05 min`, `6:15 h`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02} min"
    return f"{whole // 3600}:{whole // 60 % 60:02} h"
