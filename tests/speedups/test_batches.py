"""A batch is made ready for Redis in C as in Python, byte for byte."""

import gc
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instruments.keys import InstrumentKey
from quotes.bridge.batches import sort_batch
from quotes.bridge.tick_order import Stream
from quotes.layer.lanes import LANES
from quotes.runtime.speedups import definitions
from tests.speedups.built import needs_package, package

pytestmark = needs_package

in_python = definitions["pack_batch"]

SYMBOLS = ["A", "M&M", "NIFTY 50", "Ä" * 20, "€" * 90, "X" * 31, "X" * 32]
STREAMS = [Stream(InstrumentKey("", symbol), epoch=1) for symbol in SYMBOLS]
for number, stream in enumerate(STREAMS):
    stream.lane = (number * 5) % LANES

edges = [base + more for power in (0, 5, 7, 8, 15, 16, 31, 32, 62, 63) for base in
         (2**power, -(2**power)) for more in (-1, 0, 1)]  # fmt: skip
numbers = st.one_of(
    st.sampled_from([one for one in edges if one >= -(2**63)]),
    st.integers(-(2**63), 2**64 - 1),
    st.sampled_from([2**64 - 1]),
)
frames = st.binary(max_size=40) | st.sampled_from(
    [b"f" * length for length in (0, 31, 32, 255, 256, 65535, 65536)]
)


@st.composite
def ticks(draw: st.DrawFn) -> tuple[Stream, Any]:
    stream = draw(st.sampled_from(STREAMS))
    if draw(st.integers(0, 9)) == 0:
        return stream, None
    some = (draw(numbers), draw(numbers), draw(numbers), draw(frames), draw(st.booleans()))
    return stream, (stream.field, *some, draw(numbers))


@settings(max_examples=300)
@given(st.lists(ticks(), max_size=25))
def test_any_batch_is_packed_alike(batch: list[Any]) -> None:
    """The same messages, records and counts."""
    found = package.pack_batch(batch, LANES)
    assert found == in_python(batch, LANES)
    assert found[3:] == sort_batch(batch, LANES)[3:]


@pytest.mark.parametrize("count", [0, 1, 15, 16, 255, 256, 65535, 65536])
def test_any_number_of_ticks_fits_into_a_message(count: int) -> None:
    """The header of a message says how many entries follow."""
    stream = STREAMS[0]
    for row in (None, ("A", 1, 2, 3, b"frame", True, 4)):
        batch: Any = [(stream, row)] * count
        assert package.pack_batch(batch, LANES) == in_python(batch, LANES)


ROW = ("A", 1, 2, 3, b"frame", True, 4)


def changed(index: int, value: Any) -> tuple[Any, ...]:
    return (*ROW[:index], value, *ROW[index + 1 :])


@pytest.mark.parametrize(
    "item",
    [
        None,
        (),
        [STREAMS[0], ROW],
        (STREAMS[0], ROW, 1),
        ("stream", ROW),
        (STREAMS[0], ROW[:6]),
        (STREAMS[0], list(ROW)),
        *((STREAMS[0], changed(index, None)) for index in range(7)),
        (STREAMS[0], changed(0, b"A")),
        (STREAMS[0], changed(0, "\ud800")),
        *((STREAMS[0], changed(index, 2**64)) for index in (1, 2, 3, 6)),
        *((STREAMS[0], changed(index, -(2**63) - 1)) for index in (1, 2, 3, 6)),
        (STREAMS[0], changed(2, 1.0)),
        (STREAMS[0], changed(4, "frame")),
        (STREAMS[0], changed(5, 1)),
    ],
    ids=[f"item {number}" for number in range(27)],
)
def test_what_is_no_tick_is_an_error(item: Any) -> None:
    """It is never a crash, wherever in the batch it is."""
    with pytest.raises((TypeError, OverflowError, UnicodeEncodeError)):
        package.pack_batch([(STREAMS[0], ROW), item, (STREAMS[0], None)], LANES)


@pytest.mark.parametrize("lane", [-1, LANES, 2**70, None, 1.0, "1"], ids=repr)
def test_what_is_no_lane_is_an_error(lane: Any) -> None:
    """Messages are made for lanes that are there."""
    stream = Stream(InstrumentKey("", "A"), epoch=1)
    stream.lane = lane
    with pytest.raises((TypeError, IndexError)):
        package.pack_batch([(stream, ROW)], LANES)


@pytest.mark.parametrize("name", ["field", "group", "lane"])
def test_an_attribute_that_is_not_set_is_an_error(name: str) -> None:
    """So is a name that is no text."""
    stream = Stream(InstrumentKey("", "A"), epoch=1)
    setattr(stream, name, b"")
    with pytest.raises(TypeError):
        package.pack_batch([(stream, None)], LANES)
    delattr(stream, name)
    with pytest.raises(TypeError):
        package.pack_batch([(stream, None)], LANES)


@pytest.mark.parametrize(
    "arguments",
    [(), ([],), ([], 1, 2), ((), 1), ([], None), ([], -1), ([], 5000), ([], 2**70)],
    ids=repr,
)
def test_wrong_arguments_are_refused(arguments: tuple[Any, ...]) -> None:
    """They are an error of the caller's, never a crash."""
    with pytest.raises((TypeError, ValueError)):
        package.pack_batch(*arguments)


def test_nothing_is_left_behind() -> None:
    """After many batches no more memory is in use, also after errors."""
    good: list[Any] = [(stream, changed(0, stream.field)) for stream in STREAMS] * 20
    good += [(STREAMS[1], None), (STREAMS[2], changed(5, False))]
    bad = [*good, (STREAMS[0], changed(3, 2**64))]
    shared = [*STREAMS, *(stream.field for stream in STREAMS), good[0][1], ROW[4]]

    def pack() -> None:
        package.pack_batch(good, LANES)
        with pytest.raises(OverflowError):
            package.pack_batch(bad, LANES)

    def in_use() -> tuple[int, list[int]]:
        gc.collect()
        return sys.getallocatedblocks(), [sys.getrefcount(one) for one in shared]

    for _ in range(3):
        pack()
    blocks, references = in_use()
    for _ in range(500):
        pack()
    assert abs(in_use()[0] - blocks) < 100
    assert in_use()[1] == references


def test_a_lack_of_memory_is_an_error_at_every_step() -> None:
    """Whichever allocation fails: a MemoryError, or the whole result."""
    testcapi = pytest.importorskip("_testcapi", reason="this Python has no module _testcapi")
    batch: Any = [(STREAMS[0], ROW), (STREAMS[1], None), (STREAMS[2], changed(0, "N"))]
    expected, failed = package.pack_batch(batch, LANES), 0
    for step in range(80):
        testcapi.set_nomemory(step)
        try:
            found = package.pack_batch(batch, LANES)
        except MemoryError:
            failed += 1
            found = expected
        finally:
            testcapi.remove_mem_hooks()
        assert found == expected
    assert failed > 8
