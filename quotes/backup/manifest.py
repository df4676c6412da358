"""The manifest of a backup: when and of what it was made, and the checksum of each file.

Nothing in a backup is trusted before its manifest was decoded here: a name of a file cannot lead
out of the folder, and a format that this version does not have is refused.
"""

import re
import tomllib
from pathlib import Path
from typing import Annotated

import msgspec
from django.conf import settings
from msgspec import Meta

from quotes.errors import BadBackup, quoted
from quotes.history.formats.columns import iso_time
from quotes.history.queries.ranges import TimeRange

# Grows when a reader of the number before could not restore such a backup.
FORMAT = 1
NAME = "manifest.json"
INSTRUMENTS, ACCOUNTS, HISTORY, PRICES = "instruments", "accounts", "history", "prices"
PARTS = (INSTRUMENTS, ACCOUNTS, HISTORY, PRICES)

_FILE_NAME = re.compile(rf"({'|'.join(PARTS)})/[a-z0-9_][a-z0-9_.-]{{0,120}}", re.ASCII)
_HASH = r"^[0-9a-f]{64}$"
_Count = Annotated[int, Meta(ge=0, lt=2**62)]


class FileRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of a backup.

    Attributes:
        name: below the backup's folder, its part first: `history/ticks.parquet`.
        sha256: of the file's bytes, in hexadecimal.
    """

    name: Annotated[str, Meta(max_length=160)]
    rows: _Count
    bytes: _Count
    sha256: Annotated[str, Meta(pattern=_HASH)]

    @property
    def part(self) -> str:
        return self.name.partition("/")[0]


class HistorySpan(msgspec.Struct, frozen=True):
    """The range of event times of which a backup has history, in Unix milliseconds."""

    start: int
    end: int

    @property
    def range(self) -> TimeRange:
        return TimeRange(self.start, self.end)


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds.

    Attributes:
        version: of the project that made it; "" if unknown.
        created: Unix milliseconds; what is in it is of this moment or a little later.
        parts: those of PARTS that it holds.
        engines: database alias -> vendor.
        migrations: database alias -> app -> its last migrations.
        span: of history; None without history.
        left_out: sentences.
    """

    format: int
    version: str
    id: Annotated[str, Meta(max_length=64)]
    created: _Count
    parts: list[str]
    engines: dict[str, str]
    migrations: dict[str, dict[str, list[str]]]
    span: HistorySpan | None
    files: list[FileRecord]
    left_out: list[str] = []

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)

    @property
    def made(self) -> str:
        """The time at which it was made, in India, for people."""
        return iso_time(self.created // 1000 * 1000)

    def files_of(self, part: str) -> list[FileRecord]:
        return [file for file in self.files if file.part == part]

    def file(self, name: str) -> FileRecord | None:
        return next((file for file in self.files if file.name == name), None)


class _Format(msgspec.Struct):
    format: int


def encode_manifest(manifest: Manifest) -> bytes:
    """Return the text of a manifest."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"


def decode_manifest(text: bytes) -> Manifest:
    """Return the manifest of a text.

    Raises:
        BadBackup: it is none, is of a newer format, or names a file outside of the backup.
    """
    try:
        found = msgspec.json.decode(text, type=_Format).format
        if found > FORMAT:
            raise BadBackup(
                f"the backup has format {found}, and this version reads up to {FORMAT}: "
                "restore it with the version that made it, or a later one"
            )
        manifest = msgspec.json.decode(text, type=Manifest)
    except msgspec.DecodeError as error:
        raise BadBackup(f"{NAME} is not the manifest of a backup: {error}") from error
    names = [file.name for file in manifest.files]
    for name in names:
        if not _FILE_NAME.fullmatch(name):
            raise BadBackup(f"{NAME} names a file that no backup has, got {quoted(name)}")
    if len(set(names)) < len(names):
        raise BadBackup(f"{NAME} names a file twice")
    if manifest.format < 1 or not {*manifest.parts} <= {*PARTS}:
        raise BadBackup(f"{NAME} has parts or a format that no backup has")
    return manifest


def project_version() -> str:
    """Return the version of this project; "" if its pyproject.toml is not there."""
    try:
        text = Path(settings.BASE_DIR, "pyproject.toml").read_text()
        return str(tomllib.loads(text)["project"]["version"])
    except (OSError, KeyError, tomllib.TOMLDecodeError):
        return ""
