"""Interrupts: how signals end a long-running command."""

import signal
import threading
import time
from collections.abc import Iterator

import pytest

from quotes.runtime.interrupts import interrupt_on_signals


@pytest.fixture(autouse=True)
def default_signals() -> Iterator[None]:
    """Handle signals as a command in the foreground does, however the tests were started."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    before_term = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGINT, before)
    signal.signal(signal.SIGTERM, before_term)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_first_signal_is_a_request(number: signal.Signals) -> None:
    """The first signal only asks to end; the handlers from before are back afterwards."""
    before = signal.getsignal(number)
    with interrupt_on_signals() as interrupt:
        assert not interrupt()
        signal.raise_signal(number)
        assert interrupt()
    assert signal.getsignal(number) is before


def test_second_ctrl_c_ends_at_once() -> None:
    """A second Ctrl-C does not wait for the step in hand."""
    with interrupt_on_signals():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_sleep_ends_on_a_signal() -> None:
    """A signal wakes a long sleep, which then says that its time has not come."""
    with interrupt_on_signals() as interrupt:
        main = threading.main_thread().ident
        assert main is not None
        timer = threading.Timer(0.05, signal.pthread_kill, (main, signal.SIGTERM))
        timer.start()
        began = time.monotonic()
        assert not interrupt.sleep_until(began + 30)
        assert time.monotonic() - began < 5
        timer.join()


def test_sleep_lasts_until_its_moment() -> None:
    """Undisturbed, a sleep ends when it is due, and at once when that is past."""
    with interrupt_on_signals() as interrupt:
        due = time.monotonic() + 0.15
        assert interrupt.sleep_until(due)
        assert due <= time.monotonic() < due + 1
        assert interrupt.sleep_until(due - 10)
