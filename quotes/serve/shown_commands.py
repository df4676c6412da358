"""Commands as `serve` prints them: ready for another terminal, which has not the same variables."""

import os
import shlex
import sys
from urllib.parse import urlsplit

from django.conf import settings

# What decides where a command finds Redis, the databases and the names of prices.
_NAMES = (
    "REDIS_URL",
    "REDIS_HOST",
    "REDIS_PORT",
    "DATABASE_URL",
    "QUOTES_CHANNEL_PREFIX",
    "QUOTES_KEY_PREFIX",
)


def shown_command(*arguments: str) -> str:
    """Return a manage.py command for another terminal in this folder.

    Variables that were set for this process, and not in `.env`, stand before it. A URL with a
    password is not shown; `...` stands for it.
    """
    python = os.path.relpath(sys.executable)
    if python.startswith(".."):
        python = "python"
    names = [name for name in _NAMES if name in settings.SET_OUTSIDE and os.environ.get(name)]
    if "REDIS_URL" in names:  # it overrides both
        names = [name for name in names if name not in ("REDIS_HOST", "REDIS_PORT")]
    variables = [f"{name}={_shown(os.environ[name])}" for name in names]
    return " ".join([*variables, *map(shlex.quote, (python, "manage.py", *arguments))])


def _shown(value: str) -> str:
    try:
        secret = bool(urlsplit(value).password) or "password=" in value.lower()
    except ValueError:
        secret = True
    return "..." if secret else shlex.quote(value)
