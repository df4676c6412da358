"""Time slices: long work of an event loop, done a few milliseconds at a time.

Work is a generator that yields where it may be interrupted. Between two slices the loop goes on
with everything else: it reads its sockets, runs its tasks and calls its timers.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from time import monotonic
from typing import Any, TypeVar

logger = logging.getLogger(__name__)

T = TypeVar("T")
Steps = Generator[None, None, T]

SLICE_S = 0.005


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Return what each step takes of items."""
    return (items[begin : begin + size] for begin in range(0, len(items), size))


class _Job:
    """Work, and whoever waits for it."""

    __slots__ = ("done", "steps")

    def __init__(self, steps: Steps[Any], done: "asyncio.Future[Any]") -> None:
        self.steps = steps
        self.done = done


class TimeSlices:
    """Shares the time of one event loop among pieces of work: one slice in each turn of the loop.

    Every second slice begins with work that has had none yet, in the order in which it came; the
    others begin with work that has, which takes turns. So short work waits for no long work, and
    long work goes on however much short work comes. A step that takes longer than a slice is not
    interrupted.

    Not thread-safe: all calls come from that event loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, slice_s: float = SLICE_S) -> None:
        self._loop = loop
        self._slice_s = slice_s
        self._new: deque[_Job] = deque()
        self._begun: deque[_Job] = deque()
        self._begun_first = False
        self._is_scheduled = False

    async def run(self, steps: Steps[T]) -> T:
        """Do work to its end, and return what it returns; raise what it raises.

        The work is closed if the caller is cancelled. Work that fits into a slice is done before
        the first wait if no other was done in this turn of the loop.
        """
        job = _Job(steps, self._loop.create_future())
        self._add(job)
        try:
            result: T = await job.done
        finally:
            steps.close()
        return result

    async def call(self, work: Callable[[], T]) -> T:
        """As `run`, for work of one step."""
        return await self.run(_one_step(work))

    def start(self, steps: Steps[None]) -> None:
        """Do work that nobody waits for; what it raises is logged."""
        done = self._loop.create_future()
        done.add_done_callback(_log_error)
        self._add(_Job(steps, done))

    def _add(self, job: _Job) -> None:
        if self._is_scheduled:
            self._new.append(job)
        else:
            self._schedule()
            self._advance(job, monotonic() + self._slice_s)

    def _schedule(self) -> None:
        self._is_scheduled = True
        self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        """Do one slice of work."""
        self._is_scheduled = False
        self._begun_first = not self._begun_first
        if self._begun or self._new:
            self._schedule()
        deadline = monotonic() + self._slice_s
        while (job := self._next()) is not None:
            self._advance(job, deadline)
            if monotonic() >= deadline:
                break

    def _next(self) -> _Job | None:
        first, second = self._new, self._begun
        if self._begun_first:
            first, second = second, first
        jobs = first or second
        return jobs.popleft() if jobs else None

    def _advance(self, job: _Job, deadline: float) -> None:
        """Do steps of a job until the deadline; it waits for its next turn if more are left."""
        if job.done.done():
            return  # whoever waited was cancelled
        try:
            while True:
                next(job.steps)
                if monotonic() >= deadline:
                    break
        except StopIteration as end:
            job.done.set_result(end.value)
        except Exception as error:
            job.done.set_exception(error)
        else:
            self._begun.append(job)


def _one_step(work: Callable[[], T]) -> Steps[T]:
    yield from ()
    return work()


def _log_error(done: "asyncio.Future[Any]") -> None:
    if not done.cancelled() and (error := done.exception()) is not None:
        logger.error("work in the background failed", exc_info=error)
