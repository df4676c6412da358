"""Background tasks of an event loop: none of them ends without a log line.

A task that fails is logged with its traceback; its owner chooses whether it is started again or the
owner is called. `failed_tasks.py` lists what does not work in this process.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterable
from threading import Lock
from typing import Any
from weakref import WeakSet

import msgspec

from quotes.runtime.warnings import RateLimitedWarnings

# The pause before a task is started again: it doubles with each failure in a row.
FIRST_PAUSE_S = 0.1
MAX_PAUSE_S = 5.0
# A task that has run for this long since its last failure works.
SETTLED_S = 10.0
# After this many failures in a row, starting a task again does not help.
HOPELESS_AFTER = 3
CLOSE_TIMEOUT_S = 5.0

Work = Callable[[], Coroutine[Any, Any, object]]


class TaskFailure(msgspec.Struct, frozen=True):
    """A task that does not work, or has failed within the last SETTLED_S.

    Attributes:
        error: the name of the last error's type; its text is in the log alone.
        times: how often it failed in a row.
        ago_s: seconds since the last failure.
        stops_prices: whether live prices cannot flow through this process meanwhile.
    """

    name: str
    error: str
    times: int
    ago_s: float
    stops_prices: bool = False

    @property
    def sentence(self) -> str:
        """The failure in words, as in `reading accounts failed 2 times, last 3 s ago (KeyError)`"""
        times = "once" if self.times == 1 else f"{self.times} times"
        return f"{self.name} failed {times}, last {self.ago_s:.0f} s ago ({self.error})"


class EndedEarly(Exception):
    """A task returned that should run until it is stopped."""


class _Record:
    """How the tasks of one name fare."""

    def __init__(self, name: str, *, is_vital: bool, runs_on: bool) -> None:
        self.name = name
        self.times = 0
        self._is_vital = is_vital
        self._runs_on = runs_on
        self._error = ""
        self._began_at = self._ended_at = self._failed_at = 0.0
        self._is_running = False

    async def error_of(self, work: Work) -> BaseException | None:
        """Run some work; return the error that ended it, None if it returned."""
        self._began_at = time.monotonic()
        self._is_running = True
        try:
            await work()
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return error  # something that it waited for was cancelled, not the task
        except Exception as error:
            return error
        finally:
            self._ended_at = time.monotonic()
            self._is_running = False
        return None

    def fail(self, error: BaseException) -> None:
        ran_s = self._ended_at - self._began_at
        is_new = ran_s >= SETTLED_S if self._runs_on else self.failure() is None
        self.times = 1 if is_new else self.times + 1
        self._error = type(error).__name__
        self._failed_at = time.monotonic()

    def _is_settled(self, now: float) -> bool:
        """Return whether no failure counts any more."""
        if self._runs_on:
            return self._is_running and now - self._began_at >= SETTLED_S
        return now - self._failed_at >= SETTLED_S

    def failure(self) -> TaskFailure | None:
        now = time.monotonic()
        if not self.times or self._is_settled(now):
            return None
        return TaskFailure(
            self.name,
            self._error,
            self.times,
            round(now - self._failed_at, 1),
            self._is_vital and self.times >= HOPELESS_AFTER,
        )


class BackgroundTasks:
    """The background tasks of one owner, in the running event loop.

    Tasks are held strongly until they end. A name says what a task does, as in "reading accounts";
    `/readyz` shows it, so it holds nothing secret, and there are few of them. Failures are listed
    under it until the owner stops. Not thread-safe, but for `failures`.

    Args:
        logger: the owner's; of each name a few failures in ten seconds are logged.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._warn = RateLimitedWarnings(logger)
        self._records: dict[str, _Record] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._cancelled: set[asyncio.Task[None]] = set()
        self.is_stopped = False
        with _owners_lock:
            _owners.add(self)

    def keep(self, name: str, work: Work, *, is_vital: bool = False) -> "asyncio.Task[None]":
        """Run `work` until `stop`; when it raises or returns, start it again after a pause.

        Args:
            is_vital: live prices do not flow through this process while it fails.
        """
        record = self._record(name, is_vital=is_vital)
        return self._start(self._supervise(record, work, until_done=False), name)

    def complete(self, name: str, work: Work, *, is_vital: bool = False) -> "asyncio.Task[None]":
        """Run `work` until it returns; when it raises, start it again after a pause.

        Args:
            is_vital: live prices do not flow through this process while it fails.
        """
        record = self._record(name, is_vital=is_vital)
        return self._start(self._supervise(record, work, until_done=True), name)

    def run(
        self,
        name: str,
        work: Work,
        *,
        on_end: Callable[[], object],
        expected: tuple[type[Exception], ...] = (),
    ) -> "asyncio.Task[None]":
        """Run `work` once; call `on_end` when it raises or returns, unless it was stopped.

        Args:
            expected: errors that are logged, without a traceback, and are no failures.
        """
        record = self._record(name)
        return self._start(self._run_once(record, work, on_end=on_end, expected=expected), name)

    def attempt(
        self, name: str, work: Work, *, expected: tuple[type[Exception], ...] = ()
    ) -> "asyncio.Task[None]":
        """Run `work` once; `expected` is that of `run`."""
        record = self._record(name, runs_on=False)
        return self._start(self._run_once(record, work, on_end=None, expected=expected), name)

    def note(
        self, name: str, error: Exception, *, expected: tuple[type[Exception], ...] = ()
    ) -> None:
        """Note a failure of something that is no task, such as a callback; it counts for a while.

        Args:
            expected: errors that are logged, without a traceback, and are no failures.
        """
        self._note(self._record(name, runs_on=False), error, expected=expected)

    def stop(self) -> None:
        """Cancel all tasks; those that are started from now on end at once."""
        self.is_stopped = True
        with _owners_lock:
            _owners.discard(self)
        for task in self._tasks:
            self.cancel(task)

    def cancel(self, task: "asyncio.Task[None]") -> None:
        """Stop one task; may be called twice."""
        # A second cancellation would interrupt what the first one makes it clean up.
        if task not in self._cancelled and not task.done():
            self._cancelled.add(task)
            task.cancel()

    async def close(self) -> None:
        """Stop, and wait until all tasks have ended; log those that do not within 5 s."""
        self.stop()
        await self.end(list(self._tasks))

    async def end(self, tasks: Iterable["asyncio.Task[None]"]) -> None:
        """Cancel some tasks, and wait until they have ended; log those that do not within 5 s."""
        left = [task for task in tasks if not task.done()]
        for task in left:
            self.cancel(task)
        if left:
            _, left_over = await asyncio.wait(left, timeout=CLOSE_TIMEOUT_S)
            for task in left_over:
                self._warn(task.get_name(), f"did not stop within {CLOSE_TIMEOUT_S:g} s")

    def failures(self) -> list[TaskFailure]:
        """Return what does not work, or has failed lately; may be called from any thread."""
        found = [record.failure() for record in list(self._records.values())]
        return [failure for failure in found if failure is not None]

    # -- the tasks ------------------------------------------------------------------------------

    def _record(self, name: str, *, is_vital: bool = False, runs_on: bool = True) -> _Record:
        record = self._records.get(name)
        if record is None:
            record = self._records[name] = _Record(name, is_vital=is_vital, runs_on=runs_on)
        return record

    def _start(self, coroutine: Coroutine[Any, Any, None], name: str) -> "asyncio.Task[None]":
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        if self.is_stopped:
            self.cancel(task)
        return task

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        self._cancelled.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._warn(task.get_name(), "failed", error=error)  # its `on_end` did

    def _is_ending(self) -> bool:
        """Return whether the running task was stopped, even if its cancellation was lost."""
        return self.is_stopped or asyncio.current_task() in self._cancelled

    async def _supervise(self, record: _Record, work: Work, *, until_done: bool) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            error = await record.error_of(work)
            if error is None and until_done:
                record.times = 0
                return
            if self._is_ending():
                return
            record.fail(error or EndedEarly())
            if record.times == 1:
                pause_s = FIRST_PAUSE_S
            ended = "failed" if error is not None else "ended early"
            self._warn(record.name, f"{ended}, starting again in {pause_s:g} s", error=error)
            error = None  # its traceback refers to this frame
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, MAX_PAUSE_S)

    async def _run_once(
        self,
        record: _Record,
        work: Work,
        *,
        on_end: Callable[[], object] | None,
        expected: tuple[type[Exception], ...],
    ) -> None:
        error = await record.error_of(work)
        if self._is_ending() or (error is None and on_end is None):
            return
        self._note(record, error, expected=expected)
        if on_end is not None:
            on_end()

    def _note(
        self,
        record: _Record,
        error: BaseException | None,
        *,
        expected: tuple[type[Exception], ...],
    ) -> None:
        if isinstance(error, expected):
            self._warn(record.name, str(error) or type(error).__name__)
        else:
            record.fail(error or EndedEarly())
            self._warn(record.name, "failed" if error is not None else "ended early", error=error)


_owners: WeakSet[BackgroundTasks] = WeakSet()
_owners_lock = Lock()


def background_failures() -> list[TaskFailure]:
    """Return the failures of all owners in this process; may be called from any thread."""
    with _owners_lock:
        owners = list(_owners)
    return [failure for owner in owners for failure in owner.failures()]
