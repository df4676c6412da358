"""What processes measure of themselves: histograms, the delay of the event loop, what they are."""

import asyncio
import time

import pytest

from quotes.bridge.intake_probe import IntakeProbe
from quotes.runtime.histogram import Histogram
from quotes.runtime.identity import ProcessIdentity
from quotes.runtime.loop_lag import LoopLag
from tests.waiting import eventually


def test_a_histogram_counts_by_size() -> None:
    """A bound belongs to its bucket; what is above all bounds has the last one."""
    histogram = Histogram((0.1, 1.0))
    for value in (-1, 0, 0.1, 0.5, 1.0, 7):
        histogram.add(value)
    state = histogram.state()
    assert state.counts == (3, 2, 1) and state.total == pytest.approx(8.6)


async def test_a_stalled_loop_is_seen_from_another_thread() -> None:
    """While it runs nothing the stall grows; afterwards the delay is counted."""
    lag = LoopLag()

    def stalled_s() -> float | None:
        return lag.stalled_s

    assert stalled_s() is None
    lag.watch(asyncio.get_running_loop())
    await eventually(lambda: sum(lag.delays.state().counts) > 0)
    assert stalled_s() == 0.0

    def look_after_a_second() -> float | None:
        time.sleep(1)
        return stalled_s()

    seen = asyncio.to_thread(look_after_a_second)
    task = asyncio.create_task(seen)
    await asyncio.sleep(0)
    time.sleep(1.2)  # noqa: ASYNC251  the stall
    assert (await task or 0) > 0
    await eventually(lambda: lag.delays.state().total > 0.5)
    lag.stop()
    assert stalled_s() is None


@pytest.mark.parametrize(
    ("arguments", "variable", "name"),
    [
        (["manage.py", "bridge_prices", "--shard", "1/2"], "bridge", "bridge"),
        (["manage.py", "record_prices"], "", "recorder"),
        (["manage.py", "consume_kafka"], "kafka", "kafka_consumer"),
        (["manage.py", "migrate"], "web.1", "migrate"),
        (["/a/quotes/serve/uvicorn_process.py", "3"], "web.2", "web.2"),
        (["/a/bin/uvicorn", "config.asgi:application"], "", "web"),
        (["/a/quotes/websocket/transports/daphne.py"], "web", "web"),
        (["/a/bin/gunicorn"], "", "gunicorn"),
        (["manage.py"], "", "manage"),
        ([], "web.x", "web"),
    ],
)
def test_a_process_knows_what_it_is(arguments: list[str], variable: str, name: str) -> None:
    """By its command, and by the name that `serve` gives it."""
    assert ProcessIdentity(arguments, {"LIVE_PRICE_PROCESS": variable}).name == name


def test_a_probe_times_its_own_messages_alone() -> None:
    """Those of other bridges, those of nobody, and those that came twice change nothing."""
    delays = Histogram()
    probe = IntakeProbe(delays, shards=1)
    for message in ([], ["x"], ["x", "1"], [probe._id, "no number"], [probe._id, "1"]):
        probe.take(message)
    assert sum(delays.state().counts) == 0
    probe._sent["1"] = time.monotonic()
    probe.take([probe._id, "1"])
    probe.take([probe._id, "1"])
    assert sum(delays.state().counts) == 1
