"""Pacing: gathering follows the load of the process."""

import time
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from quotes.runtime.pacing import BUSY_LOAD, IDLE_LOAD, LOOK_EVERY_S, Pacing, ThreadLoad

_STEP_S = 1.01 * LOOK_EVERY_S


class SteppedPacing:
    """A pacing whose thread has had a load of its own in each step of time."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.now = 100.0
        self.pacing = Pacing(lambda: self.seconds)
        self.pacing.look(self.now)

    def step(self, load: float, passed: float = _STEP_S) -> float:
        self.now += passed
        self.seconds += load * passed
        return self.pacing.look(self.now)


def test_idle_process_does_not_gather() -> None:
    """A process that is idle for most of the time gathers nothing."""
    stepped = SteppedPacing()
    assert [stepped.step(load) for load in (0.0, 0.1, IDLE_LOAD - 0.01)] == [0.0, 0.0, 0.0]


def test_busy_process_gathers_from_the_next_look_on() -> None:
    """A process that has no idle time gathers as long as it may, at once."""
    stepped = SteppedPacing()
    assert stepped.step(BUSY_LOAD + 0.1) == 1.0


def test_load_between_two_looks_counts() -> None:
    """Nothing is measured before a look is due; then all of the time counts."""
    stepped = SteppedPacing()
    assert stepped.step(1.0, _STEP_S / 2) == 0.0
    assert stepped.step(1.0, _STEP_S / 2) == 1.0


def test_lower_load_of_gathering_does_not_end_it() -> None:
    """The level holds while the load falls by what gathering saves, and then falls slowly."""
    stepped = SteppedPacing()
    middle = (IDLE_LOAD + BUSY_LOAD) / 2
    level = stepped.step(middle)
    assert 0.4 < level < 0.6
    assert stepped.step(middle - 0.05) == level
    fallen = [stepped.step(0.0) for _ in range(10)]
    assert fallen == sorted(fallen, reverse=True)
    assert level > fallen[0] > 0 and fallen[-1] == 0


def test_pause_without_any_look_is_idle_time() -> None:
    """A process that had nothing to do for long is idle at its next look."""
    stepped = SteppedPacing()
    stepped.step(1.0)
    assert stepped.step(1.0 / 60, 60.0) < 1.0


@given(st.lists(st.tuples(st.floats(0, 2), st.floats(0.001, 5)), max_size=30))
def test_level_is_always_between_none_and_all(steps: list[tuple[float, float]]) -> None:
    """Whatever the load was, the level is between 0 and 1, and idle time brings it back to 0."""
    stepped = SteppedPacing()
    assert all(0 <= stepped.step(load, passed) <= 1 for load, passed in steps)
    assert [stepped.step(0.0) for _ in range(11)][-1] == 0.0


def spinning(seconds: float) -> Iterator[None]:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        yield


def test_work_of_the_thread_counts() -> None:
    """The load has at least the time for which the thread has worked, with and without /proc."""
    load = ThreadLoad()
    for _ in range(2):
        before = load.seconds()
        for _ in spinning(0.03):
            pass
        assert load.seconds() - before >= 0.02
        load.close()
