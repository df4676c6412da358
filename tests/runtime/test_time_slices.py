"""Time slices: long work goes on beside everything else, and short work waits for no long work."""

import asyncio
import logging
from collections.abc import Iterator
from itertools import pairwise

import pytest

from quotes.runtime.time_slices import Steps, TimeSlices, chunks
from tests.waiting import eventually


@pytest.fixture
async def slices() -> TimeSlices:
    """Slices of one step."""
    return TimeSlices(asyncio.get_running_loop(), slice_s=0)


def work(name: str, steps: int, done: list[str]) -> Steps[str]:
    for _ in range(steps):
        yield
    done.append(name)
    return name


async def test_work_returns_its_result_and_raises_its_error(slices: TimeSlices) -> None:
    """As a call of it would."""

    def fails() -> Steps[None]:
        yield
        raise ValueError("as a mistake in a step would")

    assert await slices.run(work("a", 3, [])) == "a"
    with pytest.raises(ValueError, match="mistake"):
        await slices.run(fails())
    assert await slices.run(work("b", 0, [])) == "b"


async def test_short_work_passes_long_work_which_takes_turns(slices: TimeSlices) -> None:
    """Nothing is done last because it came last."""
    done: list[str] = []
    sizes = {"longest": 600, "long": 500, **{f"short {n}": n % 2 for n in range(50)}}
    async with asyncio.TaskGroup() as group:
        for name, steps in sizes.items():
            group.create_task(slices.run(work(name, steps, done)))
    assert done[-2:] == ["long", "longest"]
    assert sorted(done[:-2]) == sorted(name for name in sizes if name.startswith("short"))


async def test_loop_goes_on_between_slices(slices: TimeSlices) -> None:
    """A callback that is due runs before the second slice, and long work ends in time."""
    events: list[str] = []

    def noted() -> Steps[None]:
        for _ in range(10):
            events.append("step")
            yield

    task = asyncio.create_task(slices.run(noted()))
    while not task.done():
        events.append("turn")
        await asyncio.sleep(0)
    assert events.count("step") == 10
    assert not any(pair == ("step", "step") for pair in pairwise(events[2:]))


async def test_cancelled_work_is_closed_and_holds_up_no_other(slices: TimeSlices) -> None:
    """Its next step is not done."""
    closed = []

    def endless() -> Steps[None]:
        try:
            while True:
                yield
        finally:
            closed.append(True)

    task = asyncio.create_task(slices.run(endless()))
    assert await slices.run(work("a", 3, [])) == "a"
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert closed and await slices.run(work("b", 3, [])) == "b"


async def test_work_that_nobody_waits_for_is_logged_when_it_fails(
    slices: TimeSlices, caplog: pytest.LogCaptureFixture
) -> None:
    """With its traceback."""

    def fails() -> Iterator[None]:
        yield
        raise ValueError("as a mistake in a step would")

    with caplog.at_level(logging.ERROR):
        slices.start(fails())  # type: ignore[arg-type]
        await eventually(lambda: caplog.records)
    assert caplog.records[0].exc_info is not None


def test_chunks_are_all_items_in_order() -> None:
    """The last may be shorter."""
    assert list(chunks([1, 2, 3, 4, 5], 2)) == [[1, 2], [3, 4], [5]]
    assert list(chunks([], 2)) == []
