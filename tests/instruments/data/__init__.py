"""Slices of the vendors' files: kite*.csv are recorded, the others keep to published columns."""

from pathlib import Path

FOLDER = Path(__file__).parent
