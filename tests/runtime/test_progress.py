"""Progress: a bar on a terminal, lines elsewhere."""

import io

import pytest

from quotes.runtime import progress
from quotes.runtime.progress import Progress, duration


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_terminal_gets_a_bar() -> None:
    """On a terminal a bar shows share, total and rate, and messages stand on lines of their own."""
    stream = Terminal()
    with Progress(1000, stream=stream) as shown:
        shown.add(250)
        shown.bar.refresh()
        shown.tell("Redis does not answer")
    assert "25%" in stream.getvalue() and "250/1.00k" in stream.getvalue()
    assert "ticks/s" in stream.getvalue()
    assert "Redis does not answer\n" in stream.getvalue()


def test_file_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere a line says how far it is, how fast, and how long it will take; no bar."""
    stream = io.StringIO()
    with Progress(1000, stream=stream) as shown:
        shown.add(100)
        assert stream.getvalue() == ""
        monkeypatch.setattr(progress, "_LINE_INTERVAL_S", 0.0)
        shown.add(150)
    (line,) = stream.getvalue().splitlines()
    assert line.startswith("250 of 1,000 ticks (25%), ") and line.endswith(" left")
    assert shown.line(elapsed_s=5.0) == "250 of 1,000 ticks (25%), 50/s, 15 s left"


def test_without_a_total_a_line_says_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of unknown number are counted, with the place of the last one."""
    monkeypatch.setattr(progress, "_LINE_INTERVAL_S", 0.0)
    stream = io.StringIO()
    shown = Progress(stream=stream, unit="rows", action="exported")
    shown.add(1500, "NSE_EQ:TCS 2024-04-05")
    shown.close()
    assert shown.line(3.0) == "1,500 rows exported, 500/s"
    assert stream.getvalue().startswith("1,500 rows exported, ")
    assert stream.getvalue().endswith("/s, at NSE_EQ:TCS 2024-04-05\n")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (59.6, "1:00 min"), (185, "3:05 min"), (22_500, "6:15 h")],
)
def test_durations_for_people(seconds: float, text: str) -> None:
    """A time span is shown in the unit that fits."""
    assert duration(seconds) == text
