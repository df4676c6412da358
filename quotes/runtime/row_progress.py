"""Progress of a command over rows of history: a bar on a terminal, else a line now and then."""

import time
from typing import TextIO

from tqdm import tqdm

LINE_EVERY_S = 10.0


class RowProgress:
    """Counts rows and shows how many there were, how fast, and where it is.

    Args:
        verb: what is done with them, as `exported`.
        stream: where to show it; a bar if this is a terminal.
    """

    def __init__(self, verb: str, *, stream: TextIO) -> None:
        self.verb = verb
        self.stream = stream
        self.count = 0
        self.began = self.line_at = time.monotonic()
        # disable=None: no bar unless the stream is a terminal.
        self.bar = tqdm(
            unit=" rows", unit_scale=True, dynamic_ncols=True, file=stream, disable=None
        )

    def add(self, count: int, where: str) -> None:
        self.count += count
        self.bar.set_postfix_str(where, refresh=False)
        self.bar.update(count)
        now = time.monotonic()
        if self.bar.disable and now - self.line_at >= LINE_EVERY_S:
            self.line_at = now
            rate = self.count / (now - self.began)
            self.stream.write(f"{self.count:,} rows {self.verb}, {rate:,.0f}/s, at {where}\n")
            self.stream.flush()

    def close(self) -> None:
        self.bar.close()
