"""The version of this server, as `pyproject.toml` says it."""

import tomllib
from functools import lru_cache
from pathlib import Path

_FILE = Path(__file__).parents[2] / "pyproject.toml"


@lru_cache(maxsize=1)
def server_version() -> str:
    """Return the version; "unknown" where the file is not installed."""
    try:
        return str(tomllib.loads(_FILE.read_text())["project"]["version"])
    except (OSError, ValueError, LookupError):
        return "unknown"
