"""The Python client where it is not installed: that of this repository."""

import sys
from importlib.util import find_spec
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[3] / "clients" / "python" / "src"


def make_importable() -> None:
    """Let `live_price` be imported; an installed one comes first."""
    if find_spec("live_price") is None:
        sys.path.append(str(SOURCE))
