"""The recorded instrument dumps: a slice is with the tests, the whole ones may be elsewhere."""

import csv
import gzip
import os
from pathlib import Path

import pytest
from django.conf import settings

SLICE = Path(__file__).parent / "data" / "kite-derivatives.csv"
FOLDER = Path(os.environ.get("PRICES_DATA_DIR") or settings.BASE_DIR.parent / "shared" / "data")
DERIVATIVES = FOLDER / "kite-instruments-nfo-bfo.csv.gz"
EQUITIES = FOLDER / "kite-instruments-nse.csv.gz"

needs_dumps = pytest.mark.skipif(
    not DERIVATIVES.exists() or not EQUITIES.exists(),
    reason=f"the recorded dumps are not in {FOLDER}; PRICES_DATA_DIR names another folder",
)


def read_dump(path: Path) -> list[dict[str, str]]:
    """Return the rows of a dump, packed or not."""
    if path.suffix == ".gz":
        with gzip.open(path, "rt") as packed:
            return list(csv.DictReader(packed))
    with path.open() as file:
        return list(csv.DictReader(file))
