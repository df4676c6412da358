"""manage.py simulate_market: published through Redis, through an outage, ended by a signal."""

import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from redis import Redis

from tests.valkey import ValkeyProcess
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.django_db


def test_prices_are_set_and_counted(redis: Redis) -> None:
    """The market's instruments appear under their keys; the summary says how many ticks."""
    out = io.StringIO()
    call_command("simulate_market", "--duration", "0.5", "--rate", "2000", stdout=out)
    assert redis.exists("stock:RELIANCE", "stock:M&M", "stock:NIFTY 50") == 3
    assert re.search(r"published [0-9,]{3,5} ticks", out.getvalue())


def test_symbols_narrow_it(redis: Redis) -> None:
    """Only the symbols asked for trade."""
    options = ("--duration", "0.3", "--rate", "500", "--symbols", "M&M,TCS", "NIFTY 50")
    call_command("simulate_market", *options, stdout=io.StringIO())
    assert set(redis.keys("stock:*")) == {b"stock:M&M", b"stock:TCS", b"stock:NIFTY 50"}


def test_every_instrument_has_a_price_at_once(redis: Redis) -> None:
    """However slow the market is, it begins with a tick of each instrument."""
    call_command("simulate_market", "--duration", "0.1", "--rate", "0.001", stdout=io.StringIO())
    assert len(redis.keys("stock:*")) == 133


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--rate", "0"], "--rate must be above 0 and at most 20000, got 0"),
        (["--rate", "nan"], "--rate must be above 0"),
        (["--rate", "1e6"], "--rate must be above 0"),
        (["--duration", "-1"], "--duration must be above 0, got -1"),
        (["--symbols", "AAPL"], "not simulated: AAPL"),
    ],
)
def test_wrong_options_are_named(redis: Redis, options: list[str], reason: str) -> None:
    """A wrong option stops it before it starts, with a sentence."""
    with pytest.raises(CommandError, match=re.escape(reason)):
        call_command("simulate_market", *options)


def test_outlasts_redis_and_ends_on_a_signal(redis: Redis, redis_server: ValkeyProcess) -> None:
    """Killed and started again, Redis gets prices again; SIGTERM ends it with a summary."""
    with subprocess.Popen(
        [sys.executable, "manage.py", "simulate_market", "--rate", "500"],
        cwd=ROOT,
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "config.settings"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        wait_until(lambda: redis.exists("stock:RELIANCE"))
        redis_server.kill()
        redis_server.start()
        wait_until(lambda: redis.exists("stock:RELIANCE"))
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=10)
    assert process.returncode == 0
    assert re.search(r"simulating 133 instruments at 500 ticks/s\npublished [0-9,]+ ticks", out)
    assert "Traceback" not in err


def test_volumes_rise_over_a_restart(redis: Redis) -> None:
    """A market that starts again on the same day goes on with the volumes it left in Redis."""
    volumes = []
    for _ in range(2):
        call_command("simulate_market", "--duration", "0.3", "--rate", "500", stdout=io.StringIO())
        values = {key: json.loads(redis.get(key) or b"") for key in redis.keys("stock:*")}
        volumes.append({key: tick["volume"] for key, tick in values.items() if "volume" in tick})
    before, after = volumes
    assert len(before) > 100 and all(after[key] > before[key] for key in before)
