"""What an earlier `serve` has left behind: processes whose supervisor and its guard were killed.

The guard ends them when the supervisor is killed (`orphan_guard.py`). If both are, the processes go
on: they hold the port, and a bridge or a recorder works that nobody restarts. Each has the mark of
its supervisor in its environment. Only Linux shows that; elsewhere the port is found in use.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Of the supervisor: its process id, and when that process started.
MARK = "LIVE_PRICES_SUPERVISOR"
NAME = "LIVE_PRICES_CHILD"

_PROC = Path("/proc")
_PAUSE_S = 0.1
_START_TIME = 19  # behind the name of a process in its `stat`


class LeftOver(Exception):
    """Processes of an earlier `serve` still run; the text says which, and how to end them."""


@dataclass(frozen=True, slots=True)
class _Process:
    pid: int
    environment: dict[str, str]

    @property
    def name(self) -> str:
        return self.environment.get(NAME, "a process")


def own_mark() -> str:
    """Return what marks the children of this process."""
    return f"{os.getpid()}.{_start_time(os.getpid())}"


def check_leftovers(
    *, folder: Path, port: int, redis_url: str, redis_folder: Path, patience_s: float
) -> None:
    """Raise LeftOver if processes of a supervisor that is gone use this port or this Redis.

    Args:
        folder: of the project; those of other folders are passed over.
        redis_folder: of the embedded Redis at this port, which writes over its environment.
        patience_s: how long to wait for those that a guard is about to end.
    """
    deadline = time.monotonic() + patience_s
    while found := [
        *_find(folder=folder, port=port, redis_url=redis_url),
        *_find_redis(redis_folder),
    ]:
        if time.monotonic() > deadline:
            raise LeftOver(_text(found))
        time.sleep(_PAUSE_S)


def _text(found: list[_Process]) -> str:
    named = ", ".join(f"{one.name} (process {one.pid})" for one in found)
    pids = " ".join(str(one.pid) for one in found)
    return f"an earlier `serve` was killed, and its processes still run: {named}; run `kill {pids}`"


def _pids() -> list[int]:
    try:
        return sorted(int(one.name) for one in _PROC.glob("[0-9]*"))
    except OSError:
        return []


def _find_redis(folder: Path) -> Iterator[_Process]:
    """Yield servers that work in a folder of ours and whose parent is no `serve`."""
    for pid in _pids():
        try:
            process = _PROC / str(pid)
            if (process / "cwd").readlink() != folder or b"valkey" not in (
                process / "cmdline"
            ).read_bytes():
                continue
            parent = (_PROC / _stat(pid)[1] / "cmdline").read_bytes()
        except (OSError, IndexError):
            continue
        if b"serve" not in parent.split(b"\0"):
            yield _Process(pid, {NAME: "redis"})


def _find(*, folder: Path, port: int, redis_url: str) -> Iterator[_Process]:
    for pid in _pids():
        process = _read(pid)
        if process is None or _is_alive(process.environment[MARK]):
            continue
        environment = process.environment
        if environment.get("LIVE_PRICES_FOLDER") == str(folder) and (
            environment.get("PORT") == str(port)
            or environment.get("LIVE_PRICES_REDIS") == redis_url
        ):
            yield process


def marks(name: str, *, folder: Path, redis_url: str, port: str) -> dict[str, str]:
    """Return the variables that mark a child; they hold no secret."""
    return {
        **{MARK: own_mark(), NAME: name, "PORT": port},
        **{"LIVE_PRICES_FOLDER": str(folder), "LIVE_PRICES_REDIS": redis_url},
    }


def _read(pid: int) -> _Process | None:
    """Return a process of this user that has a mark."""
    try:
        pairs = (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
        state = _stat(pid)[0]
    except OSError:
        return None
    environment = {
        name.decode(errors="replace"): value.decode(errors="replace")
        for name, _, value in (pair.partition(b"=") for pair in pairs)
    }
    is_ended = state in ("Z", "X")
    return _Process(pid, environment) if MARK in environment and not is_ended else None


def _is_alive(mark: str) -> bool:
    pid, _, started = mark.partition(".")
    return pid.isdecimal() and _start_time(int(pid)) == started


def _start_time(pid: int) -> str:
    """Return when a process started, in ticks of the kernel; "" if it is gone."""
    try:
        return _stat(pid)[_START_TIME]
    except (OSError, IndexError):
        return ""


def _stat(pid: int) -> list[str]:
    # pid (name) state parent ...; a name may have brackets and spaces.
    return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
