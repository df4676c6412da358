"""Where the data of this machine is and how much there is, as `serve` says at its start."""

import os
from collections.abc import Iterable
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, connections

from quotes.runtime.disk_space import database_files
from quotes.serve.embedded_redis import EmbeddedServer


def stored_data_lines(embedded: EmbeddedServer | None, keep_history: str) -> list[str]:
    """Return lines with places and sizes of the data, and how long history is kept."""
    found = [
        (_shown(file), _size([file, *(Path(f"{file}{end}") for end in ("-wal", "-shm"))]))
        for file in database_files()
    ]
    if embedded:
        found.append((_shown(embedded.folder), _size(embedded.folder.rglob("*"))))
    lines = [f"  data       {', '.join(f'{name} {_megabytes(size)}' for name, size in found)}"]
    lines += _server_lines()
    if keep_history.strip():
        lines.append(f"  kept       {keep_history} (QUOTES_KEEP_HISTORY; days, h: hours)")
    else:
        lines.append("  kept       all history (set QUOTES_KEEP_HISTORY to keep less)")
    return lines


def _server_lines() -> list[str]:
    """Return a line for history in PostgreSQL, none for a file."""
    connection = connections["history"]
    if connection.vendor != "postgresql":
        return []
    where = f"{settings.DATABASES['history']['NAME']} in PostgreSQL"
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_database_size(current_database())")
            return [f"  history    {where}, {_megabytes(cursor.fetchone()[0])}"]
    except DatabaseError:
        return [f"  history    {where}"]
    finally:
        connection.close()


def _shown(path: Path) -> str:
    """Return a path as seen from the project's folder, or as it is if it lies elsewhere."""
    relative = os.path.relpath(path, settings.BASE_DIR)
    return str(path) if relative.startswith("..") else relative


def _size(files: Iterable[Path]) -> int:
    """Return the bytes of the files that are there."""
    total = 0
    for file in files:
        try:
            total += file.stat().st_size if file.is_file() else 0
        except OSError:
            continue
    return total


def _megabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
