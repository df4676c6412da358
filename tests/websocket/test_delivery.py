import asyncio
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from quotes.runtime.pacing import Pacing
from quotes.websocket.delivery.flush_scheduler import FlushScheduler
from quotes.websocket.delivery.outbox import Outbox
from quotes.websocket.delivery.price_message import PriceMessage
from quotes.websocket.protocol import frame

PONG = frame("pong").encode().decode()


class MemoryTransport:
    """A transport whose client takes bytes only at `drain`."""

    form = "memory"

    def __init__(self) -> None:
        self.on_drain: Callable[[], None] = lambda: None
        self.on_flood: Callable[[], None] = lambda: None
        self.waiting: list[str] = []
        self.taken: list[str] = []

    def frame(self, opcode: int, payload: bytes) -> str:
        return payload.decode()

    def write(self, frames: list[str]) -> None:
        self.waiting += frames

    def unsent(self) -> int:
        return sum(map(len, self.waiting))

    def progress_at(self) -> float:
        return 0.0

    def close(self, code: int, reason: str) -> None:
        pass

    def abort(self) -> None:
        pass

    def drain(self) -> None:
        self.taken += self.waiting
        self.waiting.clear()
        self.on_drain()


def event(key: str, number: int) -> PriceMessage:
    return PriceMessage(key, 1, number, number, f"{key}{number:05}".encode())


@given(
    st.lists(
        st.tuples(st.sampled_from("ABC"), st.booleans()) | st.sampled_from(["flush", "drain"]),
        max_size=80,
    )
)
def test_slow_client_loses_only_intermediate_values(steps: list[Any]) -> None:
    """Whatever the pace: per symbol in order, none twice, the newest last, skips are reported."""
    loop = asyncio.new_event_loop()
    try:
        transport, scheduler = MemoryTransport(), FlushScheduler(loop)
        outbox = Outbox(transport, scheduler, on_overflow=lambda: None, on_gap=lambda: None)
        outbox.high_water = 40
        newest: dict[str, str] = {}
        count = 0
        for number, step in enumerate(steps):
            if step == "flush":
                scheduler.flush()
            elif step == "drain":
                transport.drain()
            else:
                outbox.price(event(step[0], number))
                newest[step[0]] = f"{step[0]}{number:05}"
                count += 1
            assert len(outbox.frames) * 6 <= 40 + 6 and len(outbox.newest) <= 3
        for _ in range(5):
            scheduler.flush()
            transport.drain()
        prices = [text for text in transport.taken if "conflated" not in text]
        skipped = sum(
            int(text.split('"skipped":')[1][:-1]) for text in transport.taken if "conflated" in text
        )
        assert len(prices) + skipped == count
        for key, last in newest.items():
            mine = [text for text in prices if text[0] == key]
            assert mine == sorted(set(mine)) and mine[-1] == last
    finally:
        loop.close()


async def test_frames_due_together_leave_in_one_write() -> None:
    """Frames that become due in one go of the loop are one write, an idle client's at once."""
    transport = MemoryTransport()
    scheduler = FlushScheduler(asyncio.get_running_loop())
    outbox = Outbox(transport, scheduler, on_overflow=lambda: None, on_gap=lambda: None)
    outbox.price(event("A", 1))
    outbox.price(event("B", 2))
    assert transport.waiting == []
    await asyncio.sleep(0)
    assert transport.waiting == ["A00001", "B00002"]


async def test_closed_outbox_keeps_nothing() -> None:
    """A client that was closed while slow leaves its groups later: no price is held for it."""
    transport = MemoryTransport()
    scheduler = FlushScheduler(asyncio.get_running_loop())
    outbox = Outbox(transport, scheduler, on_overflow=lambda: None, on_gap=lambda: None)
    outbox.high_water = 40
    for number in range(20):
        outbox.price(event("A", number))
        scheduler.flush()
    assert outbox.newest
    outbox.close()
    outbox.price(event("A", 20))
    outbox.price(event("B", 21))
    assert not outbox.newest


def test_client_that_reads_no_answer_is_cut_off() -> None:
    """Frames that are no prices are never dropped; a client that lets them pile up overflows."""
    loop = asyncio.new_event_loop()
    overflowed: list[bool] = []
    outbox = Outbox(
        MemoryTransport(),
        FlushScheduler(loop),
        on_overflow=lambda: overflowed.append(True),
        on_gap=lambda: None,
    )
    for _ in range(400):
        outbox.control(frame("pong", text="x" * 980))
    assert overflowed
    loop.close()


class TakingTransport(MemoryTransport):
    """A transport whose client takes all at once."""

    def write(self, frames: list[str]) -> None:
        self.taken += frames


async def test_burst_makes_no_client_slow() -> None:
    """More than the high-water mark at once is delivered whole to a client that takes it."""
    transport = TakingTransport()
    gaps: list[bool] = []
    outbox = Outbox(
        transport,
        FlushScheduler(asyncio.get_running_loop()),
        on_overflow=lambda: None,
        on_gap=lambda: gaps.append(True),
    )
    outbox.high_water = 60
    outbox.lossless.add("A")
    for number in range(100):
        outbox.price(event("A", number))
    outbox.flush()
    assert transport.taken == [f"A{number:05}" for number in range(100)] and not gaps


async def test_price_of_an_interval_is_not_lost_when_the_interval_ends_early() -> None:
    """A client that ends intervals gets the prices of the last one before newer prices."""
    transport = TakingTransport()
    scheduler = FlushScheduler(asyncio.get_running_loop())
    outbox = Outbox(transport, scheduler, on_overflow=lambda: None, on_gap=lambda: None)
    outbox.configure(batch=False, interval_ms=60_000)
    outbox.price(event("A", 1))
    assert transport.taken == []
    outbox.configure(batch=False, interval_ms=0)
    outbox.price(event("A", 2))
    outbox.flush()
    assert transport.taken == ["A00001", "A00002"]


async def test_shared_interval_gives_each_client_its_own_in_order_of_change() -> None:
    """Each client gets the newest of its own instruments; a slow one when it has drained."""
    transport = MemoryTransport()
    scheduler = FlushScheduler(asyncio.get_running_loop())
    outbox = Outbox(transport, scheduler, on_overflow=lambda: None, on_gap=lambda: None)
    takers: list[Callable[[PriceMessage], None]] = [outbox.price]
    membership = outbox.interval_membership
    membership.keys, membership.route = dict.fromkeys("AB").keys(), takers.append
    outbox.configure(batch=False, interval_ms=60_000)
    membership.settled_at = scheduler.now = scheduler.loop.time()
    interval = membership.interval
    assert interval is not None

    def pass_interval(*numbers: int) -> list[str]:
        for number in numbers:
            takers[-1](event("ABC"[number % 3], number))
        interval.over()
        return transport.waiting

    assert pass_interval(0, 1, 3) == ["B00001", "A00003"]
    assert takers[-1] == interval.price
    transport.drain()
    assert pass_interval(4, 6, 7, 9, 8) == ["B00007", "A00009"]
    outbox.high_water = 10  # what waits is more
    outbox.control(frame("pong"))
    outbox.flush()
    assert pass_interval(12, 13, 15) == ["B00007", "A00009", PONG]
    assert takers[-1] == outbox.price
    assert pass_interval(16) == ["B00007", "A00009", PONG]
    transport.drain()
    transport.drain()
    assert transport.taken[5:7] == ["A00015", "B00016"]
    assert '"skipped":1' in transport.taken[7]


async def test_frames_wait_longer_the_more_clients_there_are() -> None:
    """In a busy process 1 to 5 ms lie between two flushes, by how many clients were written to."""
    loop = asyncio.get_running_loop()
    for clients, pause_s in ((1, 0.001), (120, 0.003), (1000, 0.005)):
        pacing = Pacing(lambda: 10 * loop.time())
        pacing.look(loop.time())
        pacing.level = 1.0
        scheduler = FlushScheduler(loop, pacing=pacing)
        for _ in range(clients):
            outbox = Outbox(TakingTransport(), scheduler, on_overflow=print, on_gap=print)
            outbox.price(event("A", 1))
        scheduler.flush()
        assert scheduler.next_flush - loop.time() <= pause_s
        assert scheduler.next_flush - scheduler.now >= pause_s


async def test_frames_of_an_idle_process_leave_in_the_same_turn() -> None:
    """A process that is idle for most of the time gathers only what one turn of the loop brings."""
    transport = TakingTransport()
    scheduler = FlushScheduler(asyncio.get_running_loop(), pacing=Pacing(lambda: 0.0))
    outbox = Outbox(transport, scheduler, on_overflow=print, on_gap=print)
    for number in range(3):
        outbox.price(event("A", number))
        outbox.price(event("B", number))
        await asyncio.sleep(0)
        assert transport.taken[-2:] == [f"A{number:05}", f"B{number:05}"]
