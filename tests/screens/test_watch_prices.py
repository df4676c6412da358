"""manage.py watch_prices: a table in a terminal, lines and JSON lines elsewhere."""

import asyncio
import fcntl
import json
import logging
import os
import pty
import re
import select
import shlex
import signal
import struct
import sys
import termios
import time
from dataclasses import replace
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from live_price import FeedChange, PriceError, Recovered, StateChange, Subscribed, SymbolError, Tick
from redis import Redis
from rich.console import Console

from benchmarks.chaos.proxy import Mode, Proxy
from quotes.screens.terminal.table import line, render
from quotes.screens.terminal.text import age, grouped, percent, signed, sparkline
from quotes.screens.terminal.watch_list import WatchList
from quotes.screens.terminal.watching import Wanted, watch
from tests.live import LiveServer
from tests.programs import ROOT
from tests.ticks import MOMENT, message, publish
from tests.waiting import DEADLINE_S

COMMAND = [sys.executable, "manage.py", "watch_prices"]
START_S = 45.0


# -- text -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (0, "0"),
        (52780, "52,780"),
        (Decimal("1234567.80"), "12,34,567.80"),
        (Decimal("-100000"), "-1,00,000"),
        (Decimal("1E+3"), "1,000"),
        (Decimal("0.05"), "0.05"),
    ],
)
def test_numbers_are_grouped_as_in_india(value: Any, text: str) -> None:
    """Lakhs and crores, with the published digits."""
    assert grouped(value) == text


def test_changes_and_ages() -> None:
    """With a sign, in percent of the previous close, and in the largest unit that fits."""
    assert signed(Decimal("1.50")) == "+1.50" and signed(Decimal("-2")) == "-2"
    assert (
        percent(Decimal("-5"), Decimal("200")) == "-2.50%" and percent(Decimal(1), Decimal(0)) == ""
    )
    assert percent(Decimal("5"), Decimal("-20")) == "+25.00%"  # crude oil, April 2020
    ages = [age(each) for each in (-5, 400, 12_000, 61_000, 7_200_000, 3e8)]
    assert ages == ["0.0 s", "0.4 s", "12 s", "1 min", "2 h", "3 d"]


def test_sparkline_is_as_wide_as_there_is_room() -> None:
    """The newest prices; a line for prices that do not change."""
    prices = list(map(Decimal, (1, 5, 2, 8)))
    assert sparkline(prices, 3) == "▄▁█" and sparkline(prices[:1] * 3, 9) == "▄▄▄"
    assert sparkline([], 9) == sparkline(prices, 0) == ""


# -- the table ------------------------------------------------------------------------------------


def watched() -> WatchList:
    """A list with a price, a symbol that nobody has and one that is refused."""
    found = WatchList(["RELIANCE", "RELIANC", "GOLD"])
    found.take(StateChange("open"))
    found.take(FeedChange("live"))
    found.take(Subscribed("RELIANC", "RELIANC", False, ("NSE_EQ:RELIANCE",)))
    found.take(SymbolError("not entitled to MCX", 403, "GOLD"))
    found.take(
        Tick(
            "RELIANCE",
            "RELIANCE",
            "NSE_EQ:RELIANCE",
            Decimal("2950.50"),
            round(time.time() * 1000),
            volume=1234567,
            prev_close=Decimal("2900.00"),
        )
    )
    return found


def text_of(list_: WatchList, width: int, height: int = 30) -> str:
    console = Console(file=StringIO(), width=width, height=height, force_terminal=True)
    with console.capture() as capture:
        console.print(render(list_, console))
    return re.sub(r"\x1b\[[0-9;]*m", "", capture.get())


@pytest.mark.parametrize("width", [20, 32, 48, 60, 70, 100, 200])
def test_table_fits_the_terminal(width: int) -> None:
    """Narrow ones show less, and no line is wider than the terminal."""
    text = text_of(watched(), width)
    assert all(len(one) <= width for one in text.splitlines())
    assert "2,950.50" in text
    assert ("+1.74%" in text) is (width >= 30) and ("12,34,567" in text) is (width >= 66)


def test_table_says_what_has_no_price() -> None:
    """Suggestions for unknown names, and why a symbol is refused."""
    text = text_of(watched(), 100)
    assert "RELIANC: nobody has this name; did you mean NSE_EQ:RELIANCE?" in text
    assert "GOLD: not entitled to MCX (403)" in text and "live" in text


def test_more_symbols_than_lines() -> None:
    """The rest is counted."""
    text = text_of(WatchList([f"S{n}" for n in range(50)]), 80, 12)
    assert len(text.splitlines()) <= 12 and "and 42 more" in text


def test_lost_connection_is_shown() -> None:
    """With the reason and the next attempt; a feed that is down, and prices that are missing."""
    list_ = watched()
    error = PriceError("the connection was lost", 1006)
    list_.take(StateChange("waiting", round(time.time() * 1000) + 4400, error))
    assert "no connection: the connection was lost (1006); next attempt in 4 s" in list_.status()
    list_.take(StateChange("open"))
    list_.take(FeedChange("down"))
    assert "no prices reach the server" in list_.status()
    list_.take(Recovered("A", "A", False, 0, "its numbering has started over"))
    assert "its numbering has started over" in list_.problem


def test_line_without_a_previous_close() -> None:
    """Change and volume are left out where they are not known."""
    list_ = WatchList(["A"])
    list_.take(Tick("A", "A", "A", Decimal("5"), MOMENT))
    assert line(list_.rows["A"]) == "21:15:00 IST  A  5"


# -- the command ----------------------------------------------------------------------------------


@pytest.fixture
def watching(live: LiveServer, redis: Redis) -> list[str]:
    """The command's arguments for the live server, which has a price."""
    publish(redis, "A", message("A", "189.450", volume=7, prev_close="180.00"))
    return ["--url", f"127.0.0.1:{live.port}"]


async def start(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *COMMAND,
        *arguments,
        cwd=ROOT,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def line_with(stream: asyncio.StreamReader | None, part: str) -> str:
    """Return the first line that has a part in it."""
    assert stream is not None
    seen = []
    async with asyncio.timeout(START_S):
        async for data in stream:
            seen.append(data.decode())
            if part in seen[-1]:
                return seen[-1]
    raise AssertionError(f"{part} is not in {seen}")


async def test_lines_for_a_pipe(live: LiveServer, redis: Redis, watching: list[str]) -> None:
    """A line for each price; a lost connection is reported, and its end; Ctrl-C ends cleanly."""
    door = Proxy(live.port)
    await door.start()
    process = await start("A", "--url", f"127.0.0.1:{door.port}")
    try:
        assert "+9.450 (+5.25%)  volume 7" in await line_with(process.stdout, "A  189.450")
        door.set_mode(Mode.CUT)
        await line_with(process.stderr, "no connection")
        door.set_mode(Mode.PASS)
        await line_with(process.stderr, "live")
        publish(redis, "A", message("A", "190", MOMENT + 1))
        await line_with(process.stdout, "A  190")
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(DEADLINE_S):
            _, errors = await process.communicate()
        assert process.returncode == 0 and b"Traceback" not in errors
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        await door.close()


async def test_json_lines_end_with_the_pipe(redis: Redis, watching: list[str]) -> None:
    """Digits are as published, and a pipe that nobody reads is no error."""
    command = f"exec {shlex.join([*COMMAND, 'A', '--json', *watching])} | head -1"
    process = await asyncio.create_subprocess_shell(
        f"set -o pipefail; {command}",
        cwd=ROOT,
        executable="/bin/bash",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    text = await line_with(process.stdout, "A")
    assert '"price":189.450,' in text and json.loads(text)["volume"] == 7
    number = 0
    async with asyncio.timeout(DEADLINE_S):
        ended = asyncio.create_task(process.communicate())
        while not ended.done():
            number += 1
            publish(redis, "A", message("A", str(number), MOMENT + number))
            await asyncio.wait([ended], timeout=0.05)
    assert process.returncode == 0 and (await ended)[1] == b""


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"names": ["*"]}, '"*" needs a segment'),
        ({"token": "a.b.c"}, "not a valid token"),
        ({"url": "ftp://host"}, "url must be like ws://host:5000/live-price"),
    ],
)
@pytest.mark.django_db(transaction=True)
async def test_nothing_to_watch_is_an_error(
    options: dict[str, Any], text: str, live: LiveServer
) -> None:
    """Where every symbol is refused, or the server does not want the client."""
    wanted = replace(Wanted(live.url, ["A"]), **options)
    with pytest.raises((PriceError, ValueError), match=re.escape(text)):
        async with asyncio.timeout(DEADLINE_S):
            await watch(wanted, StringIO())


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["A", "--count", "-1"], "--count must be 0 or more, got -1"),
        (["A", "--url", "ftp://host"], "url must be like ws://host:5000/live-price"),
    ],
)
def test_mistakes_end_the_command(arguments: list[str], text: str) -> None:
    """With a sentence that says what is allowed; other users of the client go on logging."""
    level = logging.getLogger("live_price").level
    with pytest.raises(CommandError, match=re.escape(text)):
        call_command("watch_prices", *arguments)
    assert logging.getLogger("live_price").level == level


async def test_json_has_every_field(live: LiveServer, redis: Redis) -> None:
    """As published, with depth and unknown keys, and the name that was requested."""
    depth = {"buy": [{"price": 1.50, "quantity": 5, "orders": 1}], "sell": []}
    publish(redis, "A", message("A", "189.450", depth=depth, venue="é", bid=None))
    output = StringIO()
    assert await watch(Wanted(live.url, ["A"], as_json=True, count=1), output) == 1
    assert json.loads(output.getvalue()) == {
        **{"name": "A", "symbol": "A", "price": 189.45, "timestamp": MOMENT},
        **{"venue": "é", "depth": depth},
    }
    assert "189.450" in output.getvalue()


@pytest.mark.django_db(transaction=True, databases=["default", "history"])
async def test_table_in_a_terminal(live: LiveServer, redis: Redis, watching: list[str]) -> None:
    """It is drawn again in place as prices come, with the past as a line."""
    terminal, end = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 20, 90, 0, 0))
    with os.fdopen(end, "w") as output, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TERM", "xterm-256color")
        patch.delenv("NO_COLOR", raising=False)
        task = asyncio.create_task(watch(Wanted(live.url, ["A"], count=1), output))
        text = await asyncio.to_thread(read_until, terminal, "189.450")
        assert "+9.450" in text and "+5.25%" in text and "trend" in text
        publish(redis, "A", message("A", "190", MOMENT + 1, prev_close=180))
        text = await asyncio.to_thread(read_until, terminal, "+10")
        async with asyncio.timeout(DEADLINE_S):
            assert await task == 1
    os.close(terminal)


def read_until(terminal: int, part: str) -> str:
    """Return what comes until a part is in it, and the line of the state behind it."""
    text = ""
    deadline = time.monotonic() + DEADLINE_S
    while part not in text or "IST" not in text.partition(part)[2]:
        assert time.monotonic() < deadline, text
        if select.select([terminal], [], [], 0.1)[0]:
            text += os.read(terminal, 65536).decode(errors="replace")
    return text
