"""Ticks of a real day with a number each, as messages of a topic."""

import os
from itertools import count, islice
from pathlib import Path

from quotes.publish.replay.recordings import read_recording
from quotes.ticks import Tick, encode_tick

ROOT = Path(__file__).parents[2]
SLICE = ROOT / "tests" / "publish" / "data" / "nse-ticks-slice.csv"
DAY = Path(os.environ.get("PRICES_DATA_DIR", ROOT.parent / "shared" / "data"))


def recorded_ticks(number: int) -> list[tuple[bytes, bytes]]:
    """Return pairs of symbol and message; each message has its number as the field `n`.

    They are those of a whole day where there is one, else those of a few minutes, again and again.
    """
    day = DAY / "nse-ticks-2021-04-16.csv.gz"
    if day.exists():
        ticks = list(islice(read_recording(day), number))
    else:
        part = list(read_recording(SLICE))
        length = 1000 + max(one.timestamp for one in part) - min(one.timestamp for one in part)
        ticks = [
            Tick(one.symbol, one.price_text, one.timestamp + again * length, "", one.others)
            for again in range(number // len(part) + 1)
            for one in part
        ][:number]
    return [
        (one.symbol.encode(), encode_tick(one)[:-1] + b',"n":%d}' % n)
        for one, n in zip(ticks, count(), strict=False)
    ]
