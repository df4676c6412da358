"""Where the ticks of a run come from: a recorded day of an exchange, or one that is made up."""

import csv
import gzip
import heapq
import os
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.processes import REPOSITORY
from benchmarks.right_day.events import MINUTE, TODAY, Tick, hours_of, indian_time, segment_of

NAME = "nse-ticks-2021-04-16.csv.gz"
ABSENT = (
    f"No recorded day here: a synthetic one is used. For a real one name a file with the columns\n"
    f"timestamp, symbol, ltp and volume, or set PRICES_DATA_DIR to the folder of {NAME}."
)
INDICES = ("NIFTY 50", "NIFTY BANK")
_SEGMENTS = ("NSE_EQ:", "BSE_EQ:", "NSE_EQ:", "")


def find_recording() -> Path | None:
    """Return the recorded day of PRICES_DATA_DIR or beside the project; None: there is none."""
    folders = (os.environ.get("PRICES_DATA_DIR"), REPOSITORY.parent / "shared" / "data")
    paths = (Path(folder, NAME) for folder in folders if folder)
    return next((path for path in paths if path.is_file()), None)


def read_recording(path: Path) -> list[Tick]:
    """Return the ticks of a recorded day, those of all symbols in the order of their times.

    Rows of one symbol stay in their order, late ones as well. A row without a time has that of the
    row before it. Shares are taken for those of NSE, of BSE, and for names without a segment, which
    trade around the clock.
    """
    series: dict[str, list[tuple[int, int, Tick]]] = {}
    time = 0
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", newline="") as file:
        for number, row in enumerate(csv.DictReader(file)):
            stamp = indian_time(row["timestamp"])
            time = stamp if stamp > 0 else time
            rows = series.setdefault(row["symbol"], [])
            newest = rows[-1][0] if rows else 0
            tick = Tick(row["symbol"], time, row["ltp"], int(row["volume"]))
            rows.append((max(newest, time), number, tick))
    shares = sorted(series.keys() - set(INDICES))
    keys = {name: f"NSE_INDEX:{name}" for name in INDICES}
    keys |= {name: _SEGMENTS[number % 4] + name for number, name in enumerate(shares)}
    merged = heapq.merge(*series.values())
    return [tick._replace(key=keys[tick.key]) for _, _, tick in merged]


def thin_out(ticks: Sequence[Tick], *, symbols: int, every: int) -> list[Tick]:
    """Return every so many ticks of some symbols of each segment."""
    keys = sorted({tick.key for tick in ticks})
    chosen: list[str] = []
    for segment in ("NSE_EQ", "BSE_EQ", "NSE_INDEX", ""):
        chosen += [key for key in keys if segment_of(key) == segment][: -(-symbols // 4)]
    return [tick for tick in ticks if tick.key in chosen][::every]


def synthetic_day(seed: int, *, symbols: int, ticks: int) -> list[Tick]:
    """Return a made-up day: prices that wander, volumes that grow, and the dirt of a real feed."""
    random_ = random.Random(f"day {seed}")
    parts = [
        _synthetic_series(random_, f"{_SEGMENTS[number % 4]}SHARE{number}", ticks // symbols)
        for number in range(symbols)
    ]
    return [tick for _, _, tick in heapq.merge(*parts)]


def _synthetic_series(
    random_: random.Random, key: str, count: int
) -> Iterator[tuple[int, str, Tick]]:
    opens, closes = hours_of(TODAY)
    times = sorted(
        # Some come before the opening, and some after the close.
        random_.randrange(opens - 2 * MINUTE, closes + 3 * MINUTE) // 1000 * 1000
        for _ in range(count)
    )
    paise, volume = random_.randrange(5_000, 500_000), 0
    for time in times:
        paise = max(500, paise + random_.randrange(-40, 41))
        volume += random_.choice((0, 0, 5, 120, 3_000))
        # One in ten is a second or two late.
        own = time - random_.choice((0,) * 18 + (1000, 2000))
        reading = None if random_.random() < 0.02 else volume
        interest = random_.randrange(1_000) if random_.random() < 0.1 else None
        price = f"{paise // 100}.{paise % 100:02}"
        yield time, key, Tick(key, own, price, reading, interest)
