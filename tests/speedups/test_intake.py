"""Messages are decided on in C as in Python, whatever they hold and whatever was before them."""

import gc
import sys
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quotes.bridge import market as market_module
from quotes.bridge.market import Market
from quotes.runtime.speedups import definitions
from quotes.store.inbox import MARK
from quotes.store.redis_clock import redis_clock
from quotes.ticks import segment_text, usual_head
from tests.speedups.built import needs_package, package
from tests.ticks import MOMENT, message
from tests.usual_messages import good_and_nearly_good

pytestmark = needs_package

HEAD = usual_head("A")
SEGMENT = segment_text("NSE_EQ")
ATTRIBUTES = ("field", "epoch", "seq", "timestamp", "frame", "heard", "from_key")
PAYLOAD = message("A", "2.50", MOMENT).encode()

payloads = st.one_of(
    st.builds(
        lambda symbol, price, at, end: message(symbol, price, MOMENT + at).encode() + end,
        st.sampled_from("AB"),
        st.sampled_from(["1", "2.50"]),
        st.integers(-3, 3),
        st.sampled_from([b"", b"", b"", MARK]),
    ),
    good_and_nearly_good(("A", "B")),
    st.binary(max_size=5),
)
channels = st.sampled_from([b"stock:A", b"stock:B", b"stock:NSE:A", b"other", b""])
states = st.fixed_dictionaries(
    {
        "field": st.sampled_from(["A", "NSE_EQ:A"]),
        "epoch": st.sampled_from([0, 1, 2**63, 2**70]),
        "seq": st.sampled_from([0, 1, 2**31, 2**62, 2**63 - 20]),
        "timestamp": st.integers(MOMENT - 3, MOMENT + 3) | st.sampled_from([0, 2**62]),
        "frame": st.sampled_from([b"", PAYLOAD, message("A", "1", MOMENT + 1).encode()]),
        "heard": st.booleans(),
        "from_key": st.booleans(),
    }
)


class Side:
    """One of the two, with streams of its own."""

    def __init__(self, take: Any, kind: Any, values: list[dict[str, Any]]) -> None:
        self.take = take
        self.streams = [kind() for _ in values]
        for stream, attributes in zip(self.streams, values, strict=True):
            for name, value in attributes.items():
                setattr(stream, name, value)
        first, second = self.streams
        self.layouts = {
            b"stock:A": (first, HEAD, b""),
            b"stock:NSE:A": (first, HEAD, SEGMENT),
            b"stock:B": (second, usual_head("B"), b""),
        }
        self.ticks: list[Any] = []

    def decide(self, messages: Any, start: int, live: bool, latest: int = MOMENT + 2) -> Any:
        return self.take(messages, start, self.layouts, latest, MOMENT + 9, live, self.ticks)

    def state(self) -> Any:
        ticks = [(self.streams.index(stream), row) for stream, row in self.ticks]
        return ticks, [[getattr(one, name) for name in ATTRIBUTES] for one in self.streams]


def both(values: list[dict[str, Any]]) -> tuple[Side, Side]:
    in_python = Side(definitions["take_usual"], definitions["StreamState"], values)
    return in_python, Side(package.take_usual, package.StreamState, values)


def one_stream(**changes: Any) -> Side:
    plain = dict.fromkeys(ATTRIBUTES, 0) | {"field": "A", "frame": b""}
    plain |= {"heard": False, "from_key": False} | changes
    return Side(package.take_usual, package.StreamState, [plain, plain])


@settings(max_examples=500)
@given(
    st.lists(states, min_size=2, max_size=2),
    st.lists(st.tuples(channels, payloads), max_size=12),
    st.booleans(),
    st.sampled_from([MOMENT + 2, 0, -(10**30), 10**30]),
    st.integers(0, 14),
)
def test_any_messages_are_decided_on_alike(
    values: list[dict[str, Any]],
    messages: list[tuple[bytes, bytes]],
    live: bool,
    latest: int,
    start: int,
) -> None:
    """Both stop at the same messages, with the same rows, numbers and counts."""
    in_python, in_c = both(values)
    while start < len(messages):
        answer = in_python.decide(messages, start, live, latest)
        assert in_c.decide(messages, start, live, latest) == answer
        assert in_c.state() == in_python.state()
        start = answer[0] + 1


feeds = st.lists(
    st.tuples(st.lists(st.tuples(channels, payloads), max_size=8), st.booleans()), max_size=4
)


@given(feeds, st.lists(st.tuples(channels, payloads), max_size=3))
def test_a_market_decides_alike(
    feed: list[tuple[list[tuple[bytes, bytes]], bool]], keys: list[tuple[bytes, bytes]]
) -> None:
    """Its rows, counters and warnings are those of the definition."""
    found = []
    for take in (definitions["take_usual"], package.take_usual):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(market_module, "take_usual", take)
            patch.setattr(redis_clock, "now_ms", lambda: MOMENT)
            patch.setattr(redis_clock, "max_ahead_ms", lambda: 2)
            warnings: list[Any] = []
            one = Market(prefix="stock:", warn=lambda *texts, to=warnings: to.append(texts))
            for messages, live in feed:
                one.take(messages, live=live)
                one.take_keys(keys)
            rows = [row for _, row in one.pending.ticks]
            found.append((rows, one.counters, warnings, sorted(one.streams)))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "changes",
    [
        {"seq": 2**63 - 1},
        {"seq": 2**63},
        {"seq": 1.0},
        {"seq": None},
        {"timestamp": -(2**70)},
        {"timestamp": "0"},
        {"frame": None},
        {"frame": "text", "from_key": True},
    ],
    ids=str,
)
def test_an_odd_state_is_left_to_python(changes: dict[str, Any]) -> None:
    """Numbers beyond 64 bits and values of other types change nothing and make no row."""
    side = one_stream(**changes)
    before = side.state()
    assert side.decide([(b"stock:A", PAYLOAD)], 0, True) == (0, 0, 0, 0)
    assert side.state() == before and not side.ticks


@pytest.mark.parametrize("name", ["field", "epoch", "seq", "timestamp", "frame"])
def test_an_attribute_that_is_not_set_is_left_to_python(name: str) -> None:
    """As in Python it is an AttributeError to read it, and no crash to decide on a message."""
    side = one_stream()
    delattr(side.streams[0], name)
    with pytest.raises(AttributeError):
        getattr(side.streams[0], name)
    for live in (True, False):
        assert side.decide([(b"stock:A", PAYLOAD)], 0, live) == (0, 0, 0, 0)
    assert not side.ticks


@pytest.mark.parametrize(
    "odd",
    [
        [b"stock:A", PAYLOAD],
        (b"stock:A", PAYLOAD, 1),
        (b"stock:A",),
        (b"stock:A", PAYLOAD.decode()),
        ("stock:A", PAYLOAD),
        (b"stock:A", bytearray(PAYLOAD)),
        None,
    ],
    ids=repr,
)
def test_an_odd_message_is_left_to_python(odd: Any) -> None:
    """What is no pair of bytes is not decided on."""
    side = one_stream()
    assert side.decide([(b"stock:A", PAYLOAD), odd, odd], 0, True) == (1, 0, 1, 0)
    assert side.decide([odd], 0, True) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    "odd",
    [
        None,
        (),
        (None, HEAD, b""),
        (object(), HEAD, b""),
        [package and package.StreamState(), HEAD, b""],
        (package and package.StreamState(), "head", b""),
        (package and package.StreamState(), HEAD, None),
        (package and package.StreamState(), HEAD, b""),
        (package and package.StreamState(), HEAD, b"", 1),
    ],
    ids=["none", "empty", "no stream", "object", "list", "head", "segment", "unset", "long"],
)
def test_an_odd_layout_is_left_to_python(odd: Any) -> None:
    """So is a stream of another class, or one whose attributes are not set."""
    side = one_stream()
    side.layouts[b"stock:A"] = odd
    assert side.decide([(b"stock:A", PAYLOAD)], 0, True) == (0, 0, 0, 0)
    assert not side.ticks


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ([], 0, {}, 0, 0, True),
        ([], 0, {}, 0, 0, True, [], 1),
        ((), 0, {}, 0, 0, True, []),
        ([], None, {}, 0, 0, True, []),
        ([], 0, [], 0, 0, True, []),
        ([], 0, {}, 1.5, 0, True, []),
        ([], 0, {}, 0, "", True, []),
        ([], 0, {}, 0, 0, 1, []),
        ([], 0, {}, 0, 0, True, ()),
        ([], -1, {}, 0, 0, True, []),
        ([], 2**70, {}, 0, 0, True, []),
    ],
    ids=repr,
)
def test_wrong_arguments_are_refused(arguments: tuple[Any, ...]) -> None:
    """They are an error of the caller's, never a crash."""
    with pytest.raises((TypeError, ValueError, OverflowError)):
        package.take_usual(*arguments)


def test_a_start_behind_the_last_message_finds_nothing() -> None:
    """As a range of Python's is empty then."""
    assert one_stream().decide([], 3, True)[1:] == (0, 0, 0)


class Trap(bytes):
    """A channel whose comparison takes away what is being read."""

    victims: list[Any] = []

    def __hash__(self) -> int:
        return hash(b"stock:A")

    def __eq__(self, other: object) -> bool:
        for one in self.victims:
            one.clear()
        return False


def test_code_that_runs_meanwhile_may_take_messages_away() -> None:
    """A comparison that empties the lists is no crash."""
    side = one_stream()
    messages = [(b"stock:A", bytes(bytearray(PAYLOAD))) for _ in range(3)]
    layout = side.layouts.pop(b"stock:A")
    side.layouts[Trap()] = layout
    side.layouts[b"stock:A"] = layout
    Trap.victims = [messages]
    assert side.decide(messages, 0, True)[2] == 1
    assert messages == []


def test_streams_that_refer_to_each_other_are_freed() -> None:
    """Garbage collection sees into the class."""

    class Referring(package.StreamState):
        pass

    one, other = Referring(), Referring()
    one.field, other.field = other, one
    freed = weakref.ref(one)
    del one, other
    gc.collect()
    assert freed() is None


def feed_of(count: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield messages of every kind: usual, marked, of a segment, repeated, and others."""
    for number in range(count // 5):
        usual = message("A", f"{number + 1}.05", MOMENT).encode()
        yield from [
            (b"stock:A", usual),
            (b"stock:NSE:A", usual),
            (b"stock:A", usual + MARK),
            (b"stock:B", message("B", "1", MOMENT).encode()),
            (b"other", usual),
        ]


def test_a_million_messages_leave_nothing_behind() -> None:
    """No object is kept, and none is let go too often."""
    side = one_stream(field="".join(["a", "name"]), epoch=10**12)
    messages = list(feed_of(5000))
    shared = [side.streams[0].field, side.streams[0].epoch, side.streams[0]]
    shared += [messages[0], *messages[0], side.layouts[b"stock:A"], SEGMENT, HEAD]

    def decide_on_all(live: bool) -> None:
        start = 0
        side.streams[1].from_key, side.streams[1].frame = live, messages[3][1]
        while start < len(messages):
            start = side.decide(messages, start, live)[0] + 1
        side.ticks.clear()

    def blocks() -> int:
        gc.collect()
        return sys.getallocatedblocks()

    for live in (True, False, True):
        decide_on_all(live)
    references, before = [sys.getrefcount(one) for one in shared], blocks()
    for turn in range(100):
        decide_on_all(turn % 2 == 0)
    decide_on_all(True)
    assert abs(blocks() - before) < 100
    assert [sys.getrefcount(one) for one in shared] == references
    for _ in range(2 * len(messages)):
        package.usual_frame(messages[0][1], HEAD, SEGMENT, latest_ms=MOMENT)
        package.usual_frame(b"", HEAD, SEGMENT, latest_ms=10**30)
    assert abs(blocks() - before) < 100
    assert [sys.getrefcount(one) for one in shared] == references


def test_a_lack_of_memory_is_an_error_at_every_step() -> None:
    """Whichever allocation fails: a MemoryError, and the tick is decided on as a whole or not."""
    testcapi = pytest.importorskip("_testcapi", reason="this Python has no module _testcapi")
    failed = 0
    for live in (True, False):
        for step in range(40):
            side = one_stream()
            messages = [(b"stock:NSE:A", PAYLOAD)]
            testcapi.set_nomemory(step)
            try:
                side.decide(messages, 0, live)
            except MemoryError:
                failed += 1
            finally:
                testcapi.remove_mem_hooks()
            assert side.streams[0].seq == (len(side.ticks) if live else 0)
            if side.ticks:
                ((stream, row),) = side.ticks
                assert stream is side.streams[0] and row[3] == MOMENT and len(row) == 7
    assert failed > 4
