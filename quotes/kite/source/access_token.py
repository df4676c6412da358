"""Kite's access token, from a file or the environment: it changes each day, and is never shown."""

import os
import re
from pathlib import Path

from quotes.errors import QuotesError

ENVIRONMENT = "KITE_ACCESS_TOKEN"
_MAX_BYTES = 8192
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")


class NoToken(QuotesError):
    """There is no access token to connect with; the text says what to do."""

    code = 400


class AccessToken:
    """Where the access token is read before each connection.

    Args:
        path: of a file that holds the token alone; None: the environment has it.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path

    @property
    def cure(self) -> str:
        """What an operator does about a token that Kite refuses."""
        if self._path is None:
            return f"set {ENVIRONMENT} to today's access token and start again"
        return f"write today's access token into {self._path}"

    @property
    def can_change(self) -> bool:
        """Whether a new token may come while the process runs."""
        return self._path is not None

    def read(self) -> str:
        """Return the token; raise NoToken."""
        if self._path is None:
            text = os.environ.get(ENVIRONMENT, "")
            where = f"the environment has no {ENVIRONMENT}"
        else:
            try:
                with self._path.open("rb") as file:
                    text = file.read(_MAX_BYTES + 1).decode("utf-8-sig", "replace")
            except OSError as error:
                raise NoToken(
                    f"{self._path} cannot be read ({error.strerror}): {self.cure}"
                ) from error
            where = f"{self._path} is empty"
        token = text.strip()
        if not token:
            raise NoToken(f"{where}: {self.cure}")
        if len(token) > _MAX_BYTES or not _TOKEN.fullmatch(token):
            raise NoToken(f"what should be the access token is none: {self.cure}")
        return token

    def warning(self) -> str:
        """Return what is unsafe about the file; "" if nothing is."""
        try:
            mode = self._path.stat().st_mode if self._path is not None else 0
        except OSError:
            return ""
        if mode & 0o077:
            return f"others can read {self._path}: chmod 600 {self._path}"
        return ""
