"""The market that is published: a recorded day, row by row; without a recording a made-up one."""

import csv
import gzip
import os
import random
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from benchmarks.processes import REPOSITORY

NAME = "nse-ticks-2021-04-16.csv.gz"
FOLDERS = (Path(os.environ.get("PRICES_DATA_DIR", "")), REPOSITORY.parent / "shared" / "data")
SYMBOLS = 24
TICK_SIZE = Decimal("0.05")


class Row(NamedTuple):
    """One update; `volume` is the day's so far, and never falls here."""

    symbol: str
    price: Decimal
    volume: int


def recorded_day() -> Path | None:
    """Return the recording in the folder of PRICES_DATA_DIR, or beside the project, if any."""
    return next((folder / NAME for folder in FOLDERS if (folder / NAME).is_file()), None)


def rows(path: Path | None, seed: int) -> Iterator[Row]:
    """Yield updates for ever: those of a recording over and over, or made-up ones."""
    highest: dict[str, int] = {}
    while True:
        for symbol, price, volume in _recorded(path) if path else _made_up(seed):
            highest[symbol] = max(volume, highest.get(symbol, 0))
            yield Row(symbol, price, highest[symbol])


def names(path: Path | None, seed: int) -> list[str]:
    """Return the symbols of the first updates, at most SYMBOLS."""
    found: dict[str, None] = {}
    for at, row in enumerate(rows(path, seed)):
        found[row.symbol] = None
        if len(found) == SYMBOLS or at > 50 * SYMBOLS:
            break
    return list(found)


def _recorded(path: Path) -> Iterator[tuple[str, Decimal, int]]:
    with gzip.open(path, "rt") as file:
        for row in csv.DictReader(file):
            yield row["symbol"], Decimal(row["ltp"]), int(row["volume"])


def _made_up(seed: int) -> Iterator[tuple[str, Decimal, int]]:
    chance = random.Random(seed)
    prices = {f"CHAOS{number:02}": Decimal(1000 + 10 * number) for number in range(SYMBOLS)}
    volumes = dict.fromkeys(prices, 0)
    while True:
        symbol = chance.choice(list(prices))
        prices[symbol] = max(TICK_SIZE, prices[symbol] + TICK_SIZE * chance.randint(-9, 9))
        volumes[symbol] += chance.randint(0, 500)
        yield symbol, prices[symbol], volumes[symbol]
