"""This machine: room on its disks, and how many files its web processes may open."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from quotes.conf import conf
from quotes.doctor.deployment import Deployment
from quotes.doctor.findings import Finding, Level, error, from_sentence, ok, warning
from quotes.runtime.disk_space import disk_problem, free_bytes

# Below that a few thousand clients are refused; each connection is a file.
_FEWEST_FILES = 8192
_NEARLY_ALL = 0.8


def check_disk(deployment: Deployment) -> Iterator[Finding]:
    """Check the disks of SQLite files and of the embedded Redis."""
    if problem := disk_problem():
        yield from_sentence(Level.ERROR, problem, "make room", "redis-full")
    free = ", ".join(f"{size / 1e9:.1f} GB at {path}" for path, size in free_bytes().items())
    kept = conf.keep_history or "everything, as QUOTES_KEEP_HISTORY is empty"
    yield ok(f"free: {free or 'no data on this machine'}; history is kept: {kept}")


def check_open_files(deployment: Deployment) -> Iterator[Finding]:
    """Check the limit of each web process of this machine, else that of this command."""
    limits = [(pid, limit) for pid in deployment.local_processes() if (limit := _limit_of(pid))]
    if not limits:
        own = _own_limit()
        if own is None:
            yield ok("this system has no limit of open files")
        else:
            yield _finding("this shell", own, None)
        return
    for pid, limit in limits:
        yield _finding(f"web process {pid}", limit, _open_files_of(pid))


def _finding(what: str, limit: int, opened: int | None) -> Finding:
    cure = "set LimitNOFILE=65536 in the systemd unit, or `ulimit -n 65536` before the start"
    if opened is not None and opened > _NEARLY_ALL * limit:
        return error(f"{what} has {opened} of {limit} files open", cure, "herd-at-0915")
    if limit < _FEWEST_FILES:
        return warning(f"{what} may open {limit} files, one for each client", cure, "herd-at-0915")
    return ok(f"{what} may open {limit} files" + (f", {opened} are open" if opened else ""))


def _own_limit() -> int | None:
    if sys.platform == "win32":
        return None
    import resource

    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return sys.maxsize if limit == resource.RLIM_INFINITY else limit


def _limit_of(pid: int) -> int | None:
    """Return how many files a process may open; None if this system does not tell."""
    try:
        lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("Max open files"):
            soft = line.split()[3]
            return int(soft) if soft.isdigit() else sys.maxsize
    return None


def _open_files_of(pid: int) -> int | None:
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:  # of another user
        return None
