"""Recordings: reading recorded ticks from CSV, row by row in the order of their arrival.

A recording is a CSV file, plain or gzipped, with the columns timestamp,symbol,ltp,volume: times are
IST unless they say otherwise, prices are rupees, volume is the day's so far or empty. `replay.py`
paces and publishes them.

Recorded feeds have rows dated 1970-01-01 05:30:00 (Unix time 0), which vendors send when they do
not have the time of the last trade. Such a row gets the time of the row before it, which is about
when it arrived.
"""

import gzip
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, time
from functools import lru_cache, partial
from pathlib import Path
from typing import IO

from instruments.errors import InstrumentsError
from instruments.keys import check_symbol
from quotes.errors import BadRecording, BadTick, quoted
from quotes.runtime.clock import DAY_MS, IST, IST_MS, date_of_day, day_number, ms_of_day, unix_ms
from quotes.store.listings import AcceptedNames
from quotes.ticks import LEAST_TIMESTAMP, Tick

HEADER = "timestamp,symbol,ltp,volume"
MAX_LINE = 1024

PRICE = re.compile(r"-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,10})?", re.ASCII)
MAX_VOLUME_DIGITS = 18


@dataclass(frozen=True)
class Selection:
    """Which rows of a recording to read; None selects all.

    Attributes:
        symbols: names as the recording has them.
        day: the IST date.
        start, end: IST times of day; start is included, end is not.
    """

    symbols: frozenset[str] | None = None
    day: date | None = None
    start: time | None = None
    end: time | None = None

    @property
    def everything(self) -> bool:
        return self == Selection()

    def holds(self, tick: Tick) -> bool:
        if self.symbols is not None and tick.symbol not in self.symbols:
            return False
        days, of_day = divmod(tick.timestamp + IST_MS, DAY_MS)
        if self.day is not None and date_of_day(days) != self.day:
            return False
        if self.start is not None and of_day < ms_of_day(self.start):
            return False
        return self.end is None or of_day < ms_of_day(self.end)


@dataclass
class RowReport:
    """Counts of the rows of a recording, filled while it is read.

    Attributes:
        warn: called with a sentence for each bad row.
        rows: rows that are not blank.
        timeless: selected rows without a time of their own.
        bad: rows that are not ticks.
    """

    warn: Callable[[str], object] = lambda sentence: None
    rows: int = 0
    timeless: int = 0
    bad: int = 0


@dataclass
class Scan:
    """A summary of a recording's selected rows, made before any is published."""

    ticks: int = 0
    first: dict[str, Tick] = field(default_factory=dict)  # symbol -> its first tick
    newest: dict[str, Tick] = field(default_factory=dict)  # symbol -> its newest tick

    @property
    def first_day(self) -> int:
        """The IST date of the first tick, in days since 1970-01-01."""
        return day_number(next(iter(self.first.values())).timestamp)


def scan_recording(path: Path, selection: Selection) -> Scan:
    """Read a recording once and return a summary of its selected rows.

    Raises:
        BadRecording: the file is not a recording, or no row of it is selected.
    """
    scan = Scan()
    for tick in read_recording(path, selection):
        scan.ticks += 1
        newest = scan.newest.get(tick.symbol)
        if newest is None:
            scan.first[tick.symbol] = tick
        if newest is None or tick.timestamp >= newest.timestamp:
            scan.newest[tick.symbol] = tick
    if not scan.ticks:
        raise BadRecording(f"{path} has no tick that the options select")
    return scan


def read_recording(
    path: Path, selection: Selection | None = None, report: RowReport | None = None
) -> Iterator[Tick]:
    """Yield the ticks of a recording in the order of its rows, with the digits of its prices.

    Args:
        selection: only these ticks; all by default.
        report: gets counts and warnings.

    Raises:
        BadRecording: the file cannot be read, is damaged or has other columns.
    """
    report = RowReport() if report is None else report
    holds = None if selection is None or selection.everything else selection.holds
    names = AcceptedNames()
    timestamp = latest = 0
    last_text = ""
    with opened(path) as file:
        check_header(path, file.readline(MAX_LINE))
        for number, line in enumerate(iter(partial(file.readline, MAX_LINE), ""), 2):
            if len(line) == MAX_LINE:
                raise BadRecording(
                    f"{path}, line {number}: a line must have fewer than {MAX_LINE} characters"
                )
            columns = line.rstrip("\r\n").split(",")
            if columns == [""]:
                continue
            report.rows += 1
            try:
                if len(columns) != 4:
                    raise BadRecording(f"a row must have four columns, got {quoted(line)}")
                text, symbol, price, volume = columns
                if text != last_text:
                    timestamp = moment(text)
                    last_text = text
                check_symbol_once(symbol)
                check_price(price)
                if not whole_number(volume):
                    raise BadRecording(f"volume must be a whole number, got {quoted(volume)}")
                if timestamp:
                    latest = timestamp
                elif not latest:
                    raise BadRecording("the row has no time, and no row before it has one")
                tick = Tick(
                    symbol, price, latest, "", b',"volume":%b' % volume.encode() if volume else b""
                )
                names.check(symbol, tick)
            except (BadRecording, BadTick, InstrumentsError) as error:
                last_text = ""
                report.bad += 1
                report.warn(f"{path}, line {number}: {error}")
                continue
            if holds is None or holds(tick):
                report.timeless += not timestamp
                yield tick


@contextmanager
def opened(path: Path) -> Iterator[IO[str]]:
    try:
        with path.open("rb") as raw:
            gzipped = raw.read(2) == b"\x1f\x8b"
        # Bytes that are not UTF-8 become characters that no symbol may have: only that row is bad.
        opener = gzip.open if gzipped else open
        with opener(path, "rt", encoding="utf-8", errors="surrogateescape") as file:
            yield file
    except (OSError, EOFError, zlib.error) as error:
        raise BadRecording(f"cannot read {path}: {error}") from error


def check_header(path: Path, line: str) -> None:
    if line.lstrip("\ufeff").rstrip("\r\n") != HEADER:
        raise BadRecording(f"the first line of {path} must be {HEADER}, got {quoted(line)}")


def whole_number(text: str) -> bool:
    """Return whether a text is empty or the JSON of a whole number from 0."""
    return not text or (
        text.isdecimal()
        and text.isascii()
        and (text[0] != "0" or text == "0")
        and len(text) <= MAX_VOLUME_DIGITS
    )


check_symbol_once = lru_cache(maxsize=100_000)(check_symbol)


@lru_cache(maxsize=4096)
def moment(text: str) -> int:
    """Return the Unix milliseconds of a recorded time; 0 stands for "unknown"."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadRecording(f"timestamp must be a date and time, got {quoted(text)}") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=IST)
    timestamp = unix_ms(moment)
    if timestamp != 0 and timestamp < LEAST_TIMESTAMP:
        raise BadRecording(f"timestamp must be later than 1973, got {quoted(text)}")
    return timestamp


@lru_cache(maxsize=100_000)
def check_price(text: str) -> None:
    if not PRICE.fullmatch(text):
        raise BadRecording(f"ltp must be a decimal number, got {quoted(text)}")
