"""Prices are handed over in C as in Python, whatever the state of an outbox is."""

import gc
import sys
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quotes.runtime.speedups import definitions
from quotes.websocket.delivery.outbox import Outbox
from quotes.websocket.delivery.price_message import PriceMessage
from tests.speedups.built import needs_package, package

pytestmark = needs_package


class Framing:
    """Frames a price once, and counts."""

    def __init__(self, slot: str) -> None:
        self.slot = slot
        self.calls = 0

    def frame(self, message: PriceMessage) -> bytes:
        self.calls += 1
        if message.frame == b"raise":
            raise ValueError("no frame of this")
        framed = b"framed " + message.frame
        if message.frame != b"not kept":
            message.keep(self.slot, framed)
        return framed


class Recorder:
    """What an outbox and its scheduler were called for."""

    def __init__(self, kind: Any, values: dict[str, Any]) -> None:
        self.calls: list[Any] = []
        calls = self.calls

        class Recorded(kind):
            def gather_price(self, message: PriceMessage) -> None:
                calls.append(("gather", message.frame))

            def flush(self: Any) -> None:
                calls.append(("flush", self.size))
                frames: list[bytes] = []
                self.frames = frames
                self.size = 0
                self.is_due = False

        self.outbox: Any = Recorded()
        self.outbox.framing = self.framing = Framing(values["slot"])
        self.outbox.frames = []
        self.outbox.due = [object()] * values["others_due"]
        self.outbox.scheduler = self
        for name in ("size", "high_water", "interval_ms", "batch", "conflating", "is_due"):
            setattr(self.outbox, name, values[name])

    def schedule(self) -> None:
        self.calls.append("schedule")

    def state(self) -> dict[str, Any]:
        outbox = self.outbox
        names = ("frames", "size", "is_due", "batch", "conflating", "interval_ms", "high_water")
        return {
            **{name: getattr(outbox, name) for name in names},
            "due": [one is outbox for one in outbox.due],
            "calls": self.calls,
            "framed": self.framing.calls,
        }

    def price(self, message: PriceMessage) -> str:
        try:
            assert self.outbox.price(message) is None
        except ValueError as error:
            return str(error)
        return ""


VALUES = st.fixed_dictionaries(
    {
        "slot": st.sampled_from(["wire.json.full", ""]),
        "others_due": st.integers(0, 2),
        "size": st.sampled_from([0, 5, 2**40]),
        "high_water": st.sampled_from([0, 30, 2**62]),
        "interval_ms": st.sampled_from([0, 0, 0, 100]),
        "batch": st.sampled_from([False, False, True]),
        "conflating": st.sampled_from([False, False, True]),
        "is_due": st.booleans(),
    }
)
FRAMES = st.lists(
    st.tuples(st.sampled_from([b"x", b"", b"raise", b"not kept"]), st.sampled_from([0, 1, 2])),
    max_size=8,
)


EMPTY: dict[str, Any] = {
    "slot": "x",
    **{"others_due": 0, "size": 0, "high_water": 100, "interval_ms": 0},
    **{"batch": False, "conflating": False, "is_due": False},
}


def messages_of(frames: list[tuple[bytes, int]], slot: str) -> list[PriceMessage]:
    messages = []
    for number, (frame, kept) in enumerate(frames):
        message = PriceMessage("A", 1, number, number, frame)
        if kept:
            message.keep(slot if kept == 1 else "another", b"kept")
        messages.append(message)
    return messages


@given(VALUES, FRAMES)
def test_any_outbox_takes_prices_alike(
    values: dict[str, Any], frames: list[tuple[bytes, int]]
) -> None:
    """State, calls, frames and errors are those of the definition after each price."""
    sides = [Recorder(kind, values) for kind in (definitions["OutboxState"], package.OutboxState)]
    sequences = [messages_of(frames, values["slot"]) for _ in sides]
    for first, second in zip(*sequences, strict=True):
        assert sides[0].price(first) == sides[1].price(second)
        assert sides[0].state() == sides[1].state()
        assert first == second


@given(st.lists(st.sampled_from(["", "error", "exit"]), max_size=6))
def test_every_receiver_is_called_and_failures_are_returned(kinds: list[str]) -> None:
    """Errors are returned with their receivers; what is no error ends the call."""

    def sides(hand_over: Callable[..., Any]) -> Any:
        called: list[int] = []
        errors = [ValueError(number) for number in range(len(kinds))]

        def receiver(number: int, kind: str) -> Callable[[Any], None]:
            def receive(message: Any) -> None:
                called.append(number)
                if kind == "error":
                    raise errors[number]
                if kind == "exit":
                    raise KeyboardInterrupt

            return receive

        receivers = tuple(receiver(number, kind) for number, kind in enumerate(kinds))
        try:
            failed = hand_over(receivers, "message")
        except KeyboardInterrupt:
            return called, "interrupted"
        assert all(error.__traceback__ is not None for _, error in failed)
        return called, [(receivers.index(one), errors.index(error)) for one, error in failed]

    assert sides(package.hand_over) == sides(definitions["hand_over"])


@pytest.mark.parametrize(
    ("name", "value"), [("frames", ()), ("due", None), ("framing", 7), ("frames", None)]
)
def test_wrong_attributes_are_errors(name: str, value: Any) -> None:
    """An attribute of another type, or none, is an error and nothing worse."""
    recorder = Recorder(package.OutboxState, EMPTY)
    setattr(recorder.outbox, name, value)
    with pytest.raises((TypeError, AttributeError)):
        recorder.outbox.price(PriceMessage("A", 1, 1, 1, b"x"))
    delattr(recorder.outbox, name)
    with pytest.raises((TypeError, AttributeError)):
        recorder.outbox.price(PriceMessage("A", 1, 1, 1, b"x"))
    with pytest.raises(TypeError):
        recorder.outbox.price()
    with pytest.raises(TypeError):
        package.hand_over([print], "message")


def test_nothing_is_kept() -> None:
    """Many prices and failures leave no object behind, and an outbox in a circle is freed."""
    recorder = Recorder(package.OutboxState, EMPTY)
    kept, failing = messages_of([(b"x", 1), (b"raise", 0)], "x")

    def fail(message: Any) -> None:
        raise ValueError

    def repeat(times: int, recorder: Recorder) -> None:
        for _ in range(times):
            recorder.price(kept)
            recorder.price(failing)
            package.hand_over((fail, fail), kept)
            recorder.calls.clear()
            recorder.outbox.due.clear()
        gc.collect()

    repeat(1000, recorder)
    before = sys.getallocatedblocks()
    repeat(20_000, recorder)
    assert sys.getallocatedblocks() - before < 1000
    outbox = recorder.outbox
    outbox.due = [outbox]
    freed = weakref.ref(recorder)
    del recorder, outbox
    gc.collect()
    assert freed() is None


def test_the_outbox_of_clients_is_built_on_it() -> None:
    """The server uses what is compared here."""
    assert issubclass(Outbox, package.OutboxState)
