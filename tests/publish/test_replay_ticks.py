"""manage.py replay_ticks: options, checks before it starts, the end by a signal."""

import os
import re
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from redis import Redis

from quotes.publish.replay import checks as replay_checks
from quotes.publish.replay.checks import HiddenWatch
from quotes.publish.replay.recordings import Selection, read_recording, scan_recording
from quotes.runtime.clock import IST, today_in_india
from quotes.store.latest import LatestPrice, encode_latest
from quotes.store.names import own_key, status_keys
from quotes.ticks import Tick, encode_tick
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
SLICE = Path(__file__).parent / "data" / "nse-ticks-slice.csv"
NOON = 1_700_000_000_000


def show(redis: Redis, tick: Tick) -> None:
    """Leave the record of a latest price, as a bridge does."""
    latest = LatestPrice(1, 1, tick.timestamp, encode_tick(tick))
    redis.hset(own_key("latest"), tick.symbol, encode_latest(latest))


def replayed(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[str, str]:
    call_command("replay_ticks", str(SLICE), "--speed", "max", *options)
    captured = capsys.readouterr()
    return captured.out, captured.err


def test_recorded_times_by_default(redis: Redis, capsys: pytest.CaptureFixture[str]) -> None:
    """A replay publishes the recorded prices and times and prints one line of what it did."""
    out, _ = replayed(capsys)
    assert out.startswith("published 300 ticks of 3 symbols in ")
    last = {tick.symbol: tick for tick in read_recording(SLICE)}
    for symbol, tick in last.items():
        assert redis.get(f"stock:{symbol}") == encode_tick(tick)


def test_missing_bridge_is_told(redis: Redis, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a bridge nobody sees the replay, so it says so; with one it does not."""
    assert "no bridge is running" in replayed(capsys)[1]
    redis.set(status_keys(2)[0], "{}")
    assert "no bridge is running" not in replayed(capsys)[1]
    redis.set(own_key("shards"), 2)
    assert "no bridge is running" in replayed(capsys)[1]


def test_newer_prices_refuse_the_replay(redis: Redis) -> None:
    """Recorded ticks that newer prices would hide are not published; the cures are named."""
    show(redis, Tick("M&M", "900", NOON))
    with pytest.raises(CommandError) as caught:
        call_command("replay_ticks", str(SLICE), "--speed", "max")
    text = str(caught.value)
    assert text.startswith("newer prices already hide 1 of 3 symbols")
    assert "M&M is at 2023-11-15 03:43:20 IST, the replay starts at 2021-04-16 10:1" in text
    assert all(cure in text for cure in ("--now", "--forget", "--anyway"))
    assert not redis.exists("stock:M&M", "stock:RELIANCE")


@pytest.mark.parametrize("option", ["--now", "--forget", "--anyway"])
def test_cures_for_newer_prices(
    redis: Redis, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    """With one of the three cures the same replay goes through."""
    show(redis, Tick("M&M", "900", NOON))
    out, err = replayed(capsys, option)
    assert "published 300 ticks" in out
    assert bool(redis.hexists(own_key("latest"), "M&M")) == (option != "--forget")
    assert ("forgot the latest price of 1 instruments" in err) == (option == "--forget")


def test_price_of_the_future_refuses_even_now(redis: Redis) -> None:
    """--now does not help against a price of the next minute, and the replay says so."""
    show(redis, Tick("M&M", "900", (int(time.time()) + 100) * 1000))
    with pytest.raises(CommandError, match="newer prices already"):
        call_command("replay_ticks", str(SLICE), "--speed", "max", "--now")


def test_symbols_and_times_select(redis: Redis, capsys: pytest.CaptureFixture[str]) -> None:
    """Symbols come separated by commas or spaces; a day and times of day narrow further."""
    selection = ("--symbols", "M&M,RELIANCE", "NIFTY 50", "--day", "2021-04-16", "--to", "15:30")
    assert "published 230 ticks of 3 symbols" in replayed(capsys, *selection)[0]
    assert "published 77 ticks of 1 symbols" in replayed(capsys, "--symbols", "M&M")[0]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--speed", "0"], "--speed must be max or a number above 0, got '0'"),
        (["--speed", "fast"], "--speed must be"),
        (["--speed", "nan"], "--speed must be"),
        (["--from", "9 am"], "--from must be a time HH:MM, got '9 am'"),
        (["--to", "15:30+05:30"], "--to must be an IST time"),
        (["--from", "15:00", "--to", "10:00"], "--from must be before --to"),
        (["--date", "tomorrow"], "--date must be today or YYYY-MM-DD, got 'tomorrow'"),
        (["--day", "16/04/2021"], "--day must be"),
        (["--now", "--date", "today"], "use --now or --date, not both"),
        (["--symbols", "M&M,WIPRO,SBIN"], "has no selected ticks of SBIN, WIPRO"),
        (["--day", "2021-04-17"], "has no tick that the options select"),
    ],
)
def test_wrong_options_are_named(redis: Redis, options: list[str], reason: str) -> None:
    """A wrong option stops the replay before it starts, with a sentence."""
    with pytest.raises(CommandError, match=re.escape(reason)):
        call_command("replay_ticks", str(SLICE), *options)
    assert not redis.keys("stock:*")


def test_today_moves_the_day(
    redis: Redis, capsys: pytest.CaptureFixture[str], settings: Any
) -> None:
    """--date today replays the first day as today's, at its times of day."""
    settings.QUOTES_MAX_AHEAD_S = 86_400  # before 09:15 in India they are still to come
    replayed(capsys, "--date", "today", "--day", "2021-04-16", "--symbols", "M&M")
    first = scan_recording(SLICE, Selection(symbols=frozenset({"M&M"}))).first["M&M"]
    recorded = datetime.fromtimestamp(first.timestamp / 1000, IST)
    distance = today_in_india() - recorded.date()
    value = redis.get("stock:M&M")
    assert isinstance(value, bytes)
    at = int(re.findall(rb'"timestamp":(\d+)', value)[0])
    assert datetime.fromtimestamp(at / 1000, IST).date() - recorded.date() == distance
    assert distance > timedelta(0)


def test_away_redis_is_an_error_with_its_address(redis: Redis, redis_server: Any) -> None:
    """A replay that cannot start says where it looked for Redis, without a traceback."""
    redis_server.kill()
    with pytest.raises(CommandError, match=f"connecting to 127.0.0.1:{redis_server.port}"):
        call_command("replay_ticks", str(SLICE), "--speed", "max")


def test_other_publisher_of_newer_prices_is_told(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Newer prices during a replay hide it, which is reported once; late ticks are not."""
    monkeypatch.setattr(replay_checks, "CHECK_EVERY_S", 0.0)
    sentences: list[str] = []
    watch = HiddenWatch(len, client=redis, tell=sentences.append)
    tick = next(read_recording(SLICE))
    show(redis, Tick(tick.symbol, "1", tick.timestamp + 2000))
    assert watch([tick]) == 1 and not sentences
    show(redis, Tick(tick.symbol, "1", NOON))
    watch([tick])
    watch([tick])
    assert len(sentences) == 1
    assert "another publisher sends newer prices of 1 of these symbols" in sentences[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_it_with_a_summary(redis: Redis, number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM end a paced replay at once, with its summary and no traceback."""
    with subprocess.Popen(
        [sys.executable, "manage.py", "replay_ticks", str(SLICE), "--speed", "0.5"],
        cwd=ROOT,
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "config.settings"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        wait_until(lambda: redis.exists("stock:RELIANCE"))
        process.send_signal(number)
        out, err = process.communicate(timeout=10)
    assert process.returncode == 0
    assert "stopped before the end" in out
    assert "Traceback" not in err
