"""The folder of a backup: written under another name until it is complete, and verified to read.

    backup-20261128T101500Z/manifest.json
                            instruments/instruments.instrument.jsonl.gz    ...
                            accounts/auth.user.jsonl.gz                    ...
                            history/ticks.parquet (or .csv.gz), candles, series, gaps, positions
                            prices/latest.jsonl.gz, published, kafka, log

Only its owner may read it, since it holds hashes of passwords. A folder that is not complete has a
name that begins with a dot; the next backup deletes it.
"""

import contextlib
import fcntl
import gzip
import hashlib
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import msgspec

from quotes.backup.manifest import NAME, FileRecord, Manifest, decode_manifest, encode_manifest
from quotes.errors import BackupBusy, BadBackup, quoted
from quotes.runtime.clock import utc_time

_COMPLETE = re.compile(r"backup-[0-9]{8}T[0-9]{6}Z(-[0-9]+)?", re.ASCII)
_PART = ".part-"
_LOCK = ".lock"
_PRIVATE_FOLDER, _PRIVATE_FILE = 0o700, 0o600
_MAX_MANIFEST_BYTES = 16 << 20
_MAX_LINE_BYTES = 64 << 20
_PIECE_BYTES = 1 << 20

_encode = msgspec.json.Encoder().encode
Stopped = Callable[[], bool]


class Interrupted(Exception):
    """The operator ended a backup or a restore."""


def never() -> bool:
    """Return that nobody asked to stop."""
    return False


class _HashedFile:
    """A file that counts and hashes what is written to it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.hash = hashlib.sha256()
        self.count = 0

    def write(self, data: bytes) -> int:
        self._file.write(data)
        self.hash.update(data)
        self.count += len(data)
        return len(data)

    def flush(self) -> None:
        self._file.flush()


class NewBackup:
    """A backup that is being written; it takes its name by `finish`, and is deleted without it.

    Args:
        folder: of all backups; made if it is not there.
        created: Unix milliseconds, for its name.

    Raises:
        OSError: the folder cannot be written.
        BackupBusy: another backup is being made there.
    """

    def __init__(self, folder: Path, *, created: int, stopped: Stopped = never) -> None:
        self._folder = folder
        self._created = created
        self._stopped = stopped
        self._part = folder / f"{_PART}{os.getpid()}"
        self.files: list[FileRecord] = []
        self._lock = -1

    def __enter__(self) -> "NewBackup":
        self._folder.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
        self._lock = os.open(self._folder / _LOCK, os.O_RDWR | os.O_CREAT, _PRIVATE_FILE)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._lock)
            raise BackupBusy(f"another backup is being made in {self._folder}") from error
        # Whoever wrote these was killed: it held the lock.
        for left in self._folder.glob(f"{_PART}*"):
            shutil.rmtree(left, ignore_errors=True)
        self._part.mkdir(mode=_PRIVATE_FOLDER)
        return self

    def add(self, name: str, pieces: Iterable[bytes], *, count: Callable[[], int]) -> None:
        """Write a file in pieces; one whose name ends in .gz is packed.

        Args:
            count: returns how many rows it has, called at the end.

        Raises:
            Interrupted: between two pieces.
        """
        path = self._part / name
        path.parent.mkdir(mode=_PRIVATE_FOLDER, exist_ok=True)
        with _created_file(path) as raw:
            hashed: Any = _HashedFile(raw)
            with contextlib.ExitStack() as stack:
                file = hashed
                if name.endswith(".gz"):
                    packed = gzip.GzipFile(fileobj=hashed, mode="wb", compresslevel=5, mtime=0)
                    file = stack.enter_context(packed)
                for piece in pieces:
                    file.write(piece)
                    if self._stopped():
                        raise Interrupted
            _sync(raw)
        record = FileRecord(name, count(), hashed.count, hashed.hash.hexdigest())
        self.files.append(record)

    def add_rows(self, name: str, rows: Iterable[Any]) -> None:
        """Write a packed file with a line of JSON for each row."""
        written = 0

        def lines() -> Iterator[bytes]:
            nonlocal written
            for row in rows:
                written += 1
                yield _encode(row) + b"\n"

        self.add(f"{name}.jsonl.gz", lines(), count=lambda: written)

    def finish(self, manifest: Manifest) -> Path:
        """Write the manifest, and give the backup its name, which is returned."""
        with _created_file(self._part / NAME) as file:
            file.write(encode_manifest(manifest))
            _sync(file)
        for folder in (*(path for path in self._part.iterdir() if path.is_dir()), self._part):
            _sync_folder(folder)
        path = free_name(self._folder, self._created)
        self._part.rename(path)
        _sync_folder(self._folder)
        return path

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        shutil.rmtree(self._part, ignore_errors=True)
        os.close(self._lock)


def free_name(folder: Path, created: int) -> Path:
    """Return the name of a new backup, which nothing has yet."""
    name = f"backup-{utc_time(created):%Y%m%dT%H%M%SZ}"
    path, number = folder / name, 1
    while os.path.lexists(path):
        number += 1
        path = folder / f"{name}-{number}"
    return path


class Backup:
    """A complete backup.

    Raises:
        BadBackup: there is no backup at this path, or its manifest cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        text = _read_manifest(path)
        self.manifest = decode_manifest(text)

    def verify(self, *, stopped: Stopped = never, progress: Callable[[int], object]) -> None:
        """Check the size and the checksum of each file.

        Args:
            progress: called with numbers of bytes.

        Raises:
            BadBackup: a file is missing or differs.
            Interrupted: between two pieces.
        """
        for record in self.manifest.files:
            with self._opened(record) as file:
                size = os.fstat(file.fileno()).st_size
                if size != record.bytes:
                    raise BadBackup(
                        f"{record.name} must have {record.bytes:,} bytes, got {size:,}"
                        f"{_OTHER_BACKUP}"
                    )
                found = hashlib.sha256()
                while piece := file.read(_PIECE_BYTES):
                    found.update(piece)
                    progress(len(piece))
                    if stopped():
                        raise Interrupted
            if found.hexdigest() != record.sha256:
                raise BadBackup(f"{record.name} differs from its checksum{_OTHER_BACKUP}")

    def rows(self, name: str, kind: Any = list[Any]) -> Iterator[Any]:
        """Yield the rows of a file of JSON lines, nothing if the backup does not have it.

        Raises:
            BadBackup: a row is not of the kind.
        """
        record = self.manifest.file(f"{name}.jsonl.gz")
        if record is None:
            return
        decode = msgspec.json.Decoder(kind).decode
        with self._opened(record) as raw, gzip.GzipFile(fileobj=raw) as file:
            try:
                for line in iter(lambda: file.readline(_MAX_LINE_BYTES), b""):
                    yield decode(line)
            except (msgspec.DecodeError, OSError, EOFError) as error:
                raise BadBackup(f"{record.name} has a row that cannot be read: {error}") from error

    def file_path(self, record: FileRecord) -> Path:
        """Return where a file is; raise BadBackup if it is none of this folder."""
        with self._opened(record):
            return self.path / record.name

    @contextlib.contextmanager
    def _opened(self, record: FileRecord) -> Iterator[IO[bytes]]:
        part = self.path / record.part
        if not part.is_symlink() and part.is_dir():
            with (
                contextlib.suppress(FileNotFoundError),
                _regular_file(self.path / record.name) as file,
            ):
                yield file
                return
        raise BadBackup(f"{record.name} is missing{_OTHER_BACKUP}")


_OTHER_BACKUP = ": restore another backup, nothing was written"


def find_backups(folder: Path) -> tuple[list[Backup], list[str]]:
    """Return the complete backups of a folder, the oldest first, and what is wrong with others."""
    found, wrong = [], []
    for path in sorted(folder.iterdir()):
        if not _COMPLETE.fullmatch(path.name):
            continue
        try:
            found.append(Backup(path))
        except BadBackup as error:
            wrong.append(f"{path.name}: {error}")
    return sorted(found, key=lambda backup: backup.manifest.created), wrong


def _read_manifest(path: Path) -> bytes:
    try:
        with _regular_file(path / NAME) as file:
            text = file.read(_MAX_MANIFEST_BYTES + 1)
    except OSError as error:
        raise BadBackup(f"no backup at {path}: {error.strerror or error}") from error
    if len(text) > _MAX_MANIFEST_BYTES:
        raise BadBackup(f"{NAME} must have at most {_MAX_MANIFEST_BYTES} bytes")
    return text


@contextlib.contextmanager
def _regular_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file to read, which is neither a link nor anything else."""
    try:
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise BadBackup(f"cannot read {quoted(str(path))}: {error.strerror}") from error
    with open(number, "rb") as file:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise BadBackup(f"{quoted(str(path))} must be a regular file")
        yield file


@contextlib.contextmanager
def _created_file(path: Path) -> Iterator[IO[bytes]]:
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, _PRIVATE_FILE)
    with open(number, "wb") as file:
        yield file


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
