import os
import pty
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quotes.serve.console import Console, LineSplitter
from tests.waiting import wait_until


def lines_of(chunks: list[bytes], max_bytes: int) -> list[str]:
    splitter = LineSplitter(max_bytes)
    lines = [line for chunk in chunks for line in splitter.feed(chunk)]
    return lines + splitter.finish()


@given(st.lists(st.binary(max_size=20)), st.integers(1, 10))
def test_lines_do_not_depend_on_how_they_arrive(chunks: list[bytes], max_bytes: int) -> None:
    """Whatever the pieces, the lines are the same, and none is longer than the bound."""
    lines = lines_of(chunks, max_bytes)
    assert lines == lines_of([b"".join(chunks)], max_bytes)
    assert all(len(line.partition("... ")[0]) <= max_bytes for line in lines)


@given(st.lists(st.binary(max_size=50)), st.integers(1, 10))
def test_no_more_than_one_bounded_line_is_held(chunks: list[bytes], max_bytes: int) -> None:
    """A child that never ends its line costs no memory."""
    splitter = LineSplitter(max_bytes)
    for chunk in chunks:
        splitter.feed(chunk)
        assert len(splitter.held) <= max_bytes


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []),
        (b"one\ntwo\n", ["one", "two"]),
        (b"no end", ["no end"]),
        (b"\n\n", ["", ""]),
        (b"windows\r\n", ["windows"]),
        (b"123456789012\nnext\n", ["1234567890... 2 bytes cut", "next"]),
        (b"caf\xc3\xa9\xff\n", ["caf\u00e9\ufffd"]),
        (b"\x1b[2J\x07\t\x7f\xc2\x9b\n", ["?[2J?\t??"]),
    ],
)
def test_a_line_is_text_that_cannot_steer_the_terminal(data: bytes, lines: list[str]) -> None:
    """Bad UTF-8 and control characters are replaced, what is too long is cut and says so."""
    assert lines_of([data], 10) == lines


def written(write: Callable[[Console], None], path: Path, names: list[str]) -> str:
    with path.open("w") as stream:
        console = Console(stream, names)
        write(console)
        console.close()
    return path.read_text()


def test_names_are_aligned(tmp_path: Path) -> None:
    """Texts begin in one column, whatever the names."""

    def write(console: Console) -> None:
        console.line("web", "one")
        console.line("bridge", "two")

    assert written(write, tmp_path / "out", ["web", "bridge"]) == "web    | one\nbridge | two\n"


def test_a_stream_without_unicode_gets_what_it_can_show(tmp_path: Path) -> None:
    """A character that the stream's encoding lacks is replaced."""
    with (tmp_path / "out").open("w", encoding="ascii") as stream:
        console = Console(stream, ["web"])
        console.line("web", "\u20b9100")
        console.close()
    assert (tmp_path / "out").read_text() == "web | ?100\n"


def test_names_are_coloured_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal shows each name in its colour, unless NO_COLOR is set."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    main, terminal = pty.openpty()
    with os.fdopen(terminal, "w") as stream:
        for environment in ({}, {"NO_COLOR": "1"}):
            monkeypatch.setattr(os, "environ", {**os.environ, **environment})
            console = Console(stream, ["serve", "web"])
            console.line("web", "text")
            console.close()
        shown = b""
        while shown.count(b"\n") < 2:
            shown += os.read(main, 1000)
    os.close(main)
    assert shown == b"\x1b[33mweb   |\x1b[0m text\r\nweb   | text\r\n"


def test_a_terminal_that_takes_nothing_stops_nobody() -> None:
    """While nobody reads, line() returns at once and memory is bounded; then it says what lacks."""
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream:
        console = Console(stream, ["web"], max_waiting=5)
        begun = time.monotonic()
        for _ in range(200):
            console.line("web", "x" * 1000)
        wait_until(lambda: console.waiting.full())
        assert time.monotonic() - begun < 5
        assert console.left_out >= 100
        taken = b""
        while b"lines dropped: the terminal accepted none" not in taken:
            taken += os.read(reader, 1 << 16)
        console.close()
    os.close(reader)


def test_a_closed_pipe_is_no_error() -> None:
    """When the reader is gone (`| head`) lines go nowhere, and the console still closes."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        console = Console(stream, ["web"])
        console.line("web", "text")
        console.line("web", "text")
        console.close()
        assert not console.writer.is_alive()
