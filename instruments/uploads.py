"""Uploaded files between the preview of an import and its confirmation.

A file lies under a random name in a folder that only the server's user can read; a signed ticket
leads to it, for the person who uploaded it and for an hour.
"""

import contextlib
import os
import secrets
import time
from pathlib import Path
from typing import Any, NamedTuple

from django.conf import settings
from django.core import signing
from django.core.files.uploadedfile import UploadedFile

LIFE_S = 3600
SALT = "instruments.uploads"


class Upload(NamedTuple):
    """An uploaded file and how it is to be imported."""

    file_name: str
    user_id: int
    shown_name: str
    vendor: str
    deactivate_missing: bool
    skip_bad_rows: bool

    @property
    def path(self) -> Path:
        return folder() / self.file_name

    def ticket(self) -> str:
        """Return the text by which `redeem` knows this upload again."""
        return signing.dumps(self, salt=SALT)

    def discard(self) -> None:
        """Remove the file; the ticket is worth nothing from now on."""
        self.path.unlink(missing_ok=True)


def folder() -> Path:
    return Path(settings.BASE_DIR) / "var" / "uploads"


def store(
    file: "UploadedFile[Any]",
    *,
    user_id: int,
    vendor: str,
    deactivate_missing: bool,
    skip_bad_rows: bool,
) -> Upload:
    """Keep an uploaded file for an hour, and return what leads to it."""
    folder().mkdir(mode=0o700, parents=True, exist_ok=True)
    sweep()
    name = secrets.token_hex(16)
    upload = Upload(name, user_id, str(file.name), vendor, deactivate_missing, skip_bad_rows)
    descriptor = os.open(upload.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as kept:
        for chunk in file.chunks():
            kept.write(chunk)
    return upload


def redeem(ticket: str, *, user_id: int) -> Upload | None:
    """Return the upload of a ticket; None if it is forged, too old, used, or another person's."""
    try:
        upload = Upload(*signing.loads(ticket, salt=SALT, max_age=LIFE_S))
    except (signing.BadSignature, TypeError):
        return None
    return upload if upload.user_id == user_id and upload.path.exists() else None


def sweep() -> None:
    """Remove files that nobody came back for."""
    for path in folder().iterdir():
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime < time.time() - LIFE_S:
                path.unlink()
