"""Clocks: this machine's, Redis's, the databases', and those of the machines of processes."""

import time
from collections.abc import Iterator

from django.db import DatabaseError, connections

from quotes.doctor.deployment import Deployment
from quotes.doctor.findings import Finding, Level, from_sentence, ok, warning
from quotes.runtime import clock
from quotes.store.redis_clock import NOTABLE_MS, redis_clock

_CURE = "set the clocks of all machines by NTP"
PAGE = "clock-skew"


def check_clocks(deployment: Deployment) -> Iterator[Finding]:
    """Compare every clock with Redis's; more than 2 s apart is a warning."""
    readiness = deployment.readiness()
    compared = []
    if readiness.parts["redis"] == "ok":
        for sentence in deployment.part("clocks").split("; "):
            if sentence != "ok":
                yield from_sentence(Level.WARNING, sentence, _CURE, PAGE)
        compared.append(f"Redis {_signed(redis_clock.difference_ms)}")
    else:
        yield warning("Redis's clock could not be read", "see the line of redis", PAGE)
    for alias in connections:
        if connections[alias].vendor != "postgresql":
            continue
        try:
            ahead_ms = _ahead_of_postgresql(alias)
        except DatabaseError:
            continue  # the check of databases says so
        compared.append(f"database {alias} {_signed(ahead_ms)}")
        if abs(ahead_ms) > NOTABLE_MS:
            way = "ahead of" if ahead_ms > 0 else "behind"
            yield warning(
                f"this machine's clock is {abs(ahead_ms) / 1000:,.1f} s {way} that of the "
                f"database {alias}",
                _CURE,
                PAGE,
            )
    yield ok(f"this machine's clock against others: {', '.join(compared) or 'none to compare'}")


def _ahead_of_postgresql(alias: str) -> int:
    """Return by how many milliseconds this machine's clock is ahead; raise DatabaseError."""
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT 1")
        begun, sent = clock.now_ms(), time.monotonic()
        cursor.execute("SELECT extract(epoch FROM clock_timestamp()) * 1000")
        at = int(cursor.fetchone()[0])
    return begun + round((time.monotonic() - sent) * 500) - at


def _signed(milliseconds: int) -> str:
    return f"{milliseconds / 1000:+.1f} s"
