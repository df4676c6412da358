"""Background tasks: each failure is logged and listed, and what should run on is started again."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from quotes.runtime import background
from quotes.runtime.background import BackgroundTasks, TaskFailure
from quotes.runtime.failed_tasks import failed_tasks
from tests.waiting import eventually

logger = logging.getLogger(__name__)


@pytest.fixture
async def tasks(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[BackgroundTasks]:
    """Tasks that are started again soon."""
    monkeypatch.setattr(background, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(background, "MAX_PAUSE_S", 0.01)
    found = BackgroundTasks(logger)
    yield found
    await found.close()


@pytest.fixture
def settle(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Lets every task that runs now have run for long enough."""
    return lambda: monkeypatch.setattr(background, "SETTLED_S", 0.0)


class Work:
    """Work that ends in these ways one after the other, and then runs on, or returns."""

    def __init__(self, *ends: BaseException | None, runs_on: bool = True) -> None:
        self.ends = list(ends)
        self.runs_on = runs_on
        self.calls = 0

    async def __call__(self) -> None:
        self.calls += 1
        if self.ends:
            end = self.ends.pop(0)
            if end is not None:
                raise end
        elif self.runs_on:
            await asyncio.Event().wait()


@pytest.mark.parametrize("end", [KeyError("secret"), None, asyncio.CancelledError()], ids=repr)
async def test_task_that_ends_is_started_again(
    tasks: BackgroundTasks,
    settle: Callable[[], None],
    caplog: pytest.LogCaptureFixture,
    end: BaseException | None,
) -> None:
    """Whatever ends it but its owner: it is logged and listed, until it has worked for a while."""
    work = Work(end, end)
    tasks.keep("reading accounts", work)
    await eventually(lambda: work.calls == 3)
    (failure,) = tasks.failures()
    assert [one.name for one in failed_tasks()] == ["reading accounts"]
    assert failure.name == "reading accounts" and failure.times == 2
    assert failure.error == (type(end).__name__ if end is not None else "EndedEarly")
    assert "secret" not in failure.sentence and "failed 2 times" in failure.sentence
    text = caplog.text
    assert text.count("reading accounts") == 2 and text.count("starting again") == 2
    assert ("Traceback" in text) == (end is not None)
    settle()
    assert not tasks.failures() and not failed_tasks() and work.calls == 3


async def test_task_that_cannot_be_started_again_stops_prices(tasks: BackgroundTasks) -> None:
    """Only if it is vital, after three failures in a row; the log is not flooded."""
    for is_vital in (True, False):
        work = Work(*[ValueError()] * 1000)
        tasks.keep(f"vital {is_vital}", work, is_vital=is_vital)
        await eventually(lambda work=work: work.calls > 4)  # type: ignore[misc]
    found = {one.name: one.stops_prices for one in tasks.failures()}
    assert found == {"vital True": True, "vital False": False}


async def test_failures_in_a_row_are_logged_a_few_times(
    tasks: BackgroundTasks, caplog: pytest.LogCaptureFixture
) -> None:
    """Three of them in ten seconds."""
    work = Work(*[ValueError()] * 20)
    tasks.keep("x", work)
    await eventually(lambda: work.calls > 20)
    assert sum("Traceback" in (one.exc_text or "") for one in caplog.records) == 3


async def test_work_that_is_completed_is_over(tasks: BackgroundTasks) -> None:
    """It is started again until it returns; then nothing is wrong."""
    work = Work(OSError(), runs_on=False)
    await tasks.complete("x", work)
    assert work.calls == 2 and not tasks.failures()


@pytest.mark.parametrize("end", [KeyError(), None], ids=repr)
async def test_owner_is_called_when_its_task_ends(
    tasks: BackgroundTasks, settle: Callable[[], None], end: BaseException | None
) -> None:
    """It is not started again; that is the owner's choice."""
    calls: list[str] = []
    await tasks.run("x", Work(end), on_end=lambda: calls.append("ended"))
    assert calls == ["ended"] and [one.times for one in tasks.failures()] == [1]
    work = Work()
    second = tasks.run("x", work, on_end=lambda: calls.append("ended"))
    await eventually(lambda: work.calls)
    assert tasks.failures()
    settle()
    assert not tasks.failures()
    await tasks.end([second])
    assert calls == ["ended"] and second.cancelled()


async def test_expected_errors_are_no_failures(
    tasks: BackgroundTasks, caplog: pytest.LogCaptureFixture
) -> None:
    """The owner is called for them all the same, and the log has no traceback."""
    calls: list[str] = []
    work = Work(ConnectionError("Redis is away"))
    await tasks.run("x", work, on_end=lambda: calls.append("x"), expected=(OSError,))
    await tasks.attempt("y", Work(TimeoutError()), expected=(OSError,))
    tasks.note("z", OSError(), expected=(OSError,))
    assert calls == ["x"] and not tasks.failures() and "Traceback" not in caplog.text
    assert "x: Redis is away" in caplog.text and "y: TimeoutError" in caplog.text


async def test_attempt_that_fails_is_listed_for_a_while(
    tasks: BackgroundTasks, settle: Callable[[], None]
) -> None:
    """Nobody waits for it, so it is logged."""
    await tasks.attempt("x", Work(runs_on=False))
    assert not tasks.failures()
    await tasks.attempt("x", Work(ValueError()))
    tasks.note("x", ValueError())
    assert [one.times for one in tasks.failures()] == [2]
    settle()
    assert not tasks.failures()


async def test_owner_that_fails_is_logged(
    tasks: BackgroundTasks, caplog: pytest.LogCaptureFixture
) -> None:
    """An `on_end` that raises does not end without a line either."""

    def on_end() -> None:
        raise RuntimeError("as a mistake would")

    task = tasks.run("x", Work(None), on_end=on_end)
    await eventually(task.done)
    await eventually(lambda: "as a mistake would" in caplog.text)


async def test_close_ends_all_and_cancels_nothing_twice(tasks: BackgroundTasks) -> None:
    """What a task does when it is cancelled is not interrupted, even if two close its owner."""
    cancellations: list[int] = []
    cleaned = asyncio.Event()
    began = asyncio.Event()

    async def work() -> None:
        try:
            began.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            task: Any = asyncio.current_task()
            await asyncio.sleep(0.02)
            cancellations.append(task.cancelling())
            cleaned.set()
            raise

    pausing = Work(*[ValueError()] * 1000)
    kept = [tasks.keep("x", work), tasks.keep("y", pausing)]
    await began.wait()
    tasks.stop()
    await asyncio.gather(tasks.close(), tasks.close())
    assert cleaned.is_set() and cancellations == [1]
    assert all(task.done() for task in kept) and not tasks._tasks and not failed_tasks()
    late = tasks.keep("z", Work())
    await asyncio.wait([late])
    assert late.cancelled()


async def test_close_does_not_wait_for_ever(
    tasks: BackgroundTasks, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A task that loses its cancellation is named."""
    monkeypatch.setattr(background, "CLOSE_TIMEOUT_S", 0.02)
    end = asyncio.Event()

    async def work() -> None:
        while not end.is_set():
            try:
                await end.wait()
            except asyncio.CancelledError:
                continue

    task = tasks.keep("counting", work)
    await asyncio.sleep(0)
    await tasks.close()
    assert "counting: did not stop within 0.02 s" in caplog.text
    end.set()
    await asyncio.wait([task])
    assert not task.cancelled() and not tasks.failures()  # it returned, and was not started again


async def test_tasks_are_held_until_they_end(tasks: BackgroundTasks) -> None:
    """The event loop itself holds a task weakly."""
    reached: list[int] = []

    def forgotten() -> Callable[[], None]:
        future = asyncio.get_running_loop().create_future()

        async def work() -> None:
            await future
            reached.append(1)

        tasks.attempt("x", work)
        return lambda: future.set_result(None)

    resolve = forgotten()
    await asyncio.sleep(0)
    gc.collect()
    resolve()
    await eventually(lambda: reached)


def test_sentence_names_task_error_and_time() -> None:
    """As operators read it."""
    assert TaskFailure("reading x", "KeyError", 1, 2.4).sentence == (
        "reading x failed once, last 2 s ago (KeyError)"
    )
