"""Importing a file that is at hand: its limits, its progress, the rows of it to the import."""

import os
from collections.abc import Iterator
from typing import BinaryIO

from tqdm import tqdm

from instruments.conf import conf
from instruments.errors import BadFile
from instruments.formats.reading import FileEntry, MasterFile
from instruments.import_report import ImportReport
from instruments.importing import instruments_import

CHUNK_BYTES = 256 * 1024
# How many rows pass between two looks at how far the file is read.
STRIDE = 500


def file_import(
    *,
    file: BinaryIO,
    vendor: str = "",
    deactivate_missing: bool = False,
    skip_bad_rows: bool = False,
    dry_run: bool = False,
    progress: bool = False,
) -> ImportReport:
    """Import a vendor's file; see `importing.instruments_import` for the flags.

    Args:
        file: seekable, plain or gzip.
        vendor: one of `formats.reading.FORMATS`, or empty to recognise it.
        progress: draw a bar on the standard error if that is a terminal.

    Raises:
        BadFile: the file is broken as a whole; nothing was changed.
    """
    rows = MasterFile(file, vendor=vendor, max_bytes=conf.max_import_bytes)
    report = instruments_import(
        rows=with_bar(rows, file) if progress else rows,
        deactivate_missing=deactivate_missing,
        skip_bad_rows=skip_bad_rows,
        dry_run=dry_run,
    )
    report.vendor = rows.vendor
    return report


def with_bar(rows: MasterFile, file: BinaryIO) -> Iterator[FileEntry]:
    """Yield the rows, and draw how much of the file they are from."""
    size = file.seek(0, os.SEEK_END)
    # disable=None: only on a terminal.
    with tqdm(total=size, unit="B", unit_scale=True, desc=rows.vendor, disable=None) as bar:
        for number, entry in enumerate(rows):
            if number % STRIDE == 0:
                bar.update(file.tell() - bar.n)
            yield entry
        bar.update(size - bar.n)


def spool(source: BinaryIO, target: BinaryIO) -> None:
    """Copy what can be read only once to where it can be read again.

    Raises:
        BadFile: it is larger than INSTRUMENTS_MAX_IMPORT_BYTES.
    """
    left = conf.max_import_bytes
    while data := source.read(CHUNK_BYTES):
        left -= len(data)
        if left < 0:
            raise BadFile(f"the file is larger than {conf.max_import_bytes} bytes")
        target.write(data)
