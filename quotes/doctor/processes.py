"""Processes: bridges, recorder, Kafka's commands and web servers, by what they write to Redis."""

from collections.abc import Iterator
from typing import Any

import msgspec
import redis
from django.db import DatabaseError

from instruments.selectors import market_statuses
from instruments.sessions import OPEN
from quotes.doctor.deployment import Deployment
from quotes.doctor.findings import Finding, Level, counted, error, from_sentence, ok, warning
from quotes.store.names import status_keys
from quotes.store.redis_clock import redis_clock
from quotes.store.shards import shard_count

# Parts of `/readyz` whose warnings other checks give.
_ELSEWHERE = ("memory", "disk", "clocks", "calendar", "database", "kafka", "kafka_producer")
_OF_A_WEB_PROCESS = ("tasks", "lanes")
_SLOW_WRITE_MS = 250
_SILENT_MS = 60_000
# Where to read on, by a part of the sentence.
_PAGES = (
    ("recorder", "recorder-behind"),
    ("refused", "one-symbol-stuck"),
    ("older than the last one shown", "one-symbol-stuck"),
    ("names are in use", "expiry-day"),
    ("", "prices-stopped"),
)
STOPPED = "prices-stopped"


def check_processes(deployment: Deployment) -> Iterator[Finding]:
    """Check each kind of process, as far as Redis answers."""
    readiness = deployment.readiness()
    if readiness.parts["redis"] != "ok":
        yield error("unknown while Redis does not answer", "see the line of redis", STOPPED)
        return
    bridge = deployment.part("bridge")
    if bridge == "ok":
        yield from _bridges(deployment.redis)
    else:
        yield from_sentence(Level.ERROR, bridge, "start a bridge", STOPPED)
    for sentence in readiness.warnings:
        if not sentence.startswith(tuple(f"{one}:" for one in _ELSEWHERE + _OF_A_WEB_PROCESS)):
            page = next(page for part, page in _PAGES if part in sentence)
            yield from_sentence(Level.WARNING, sentence, "read the log of the process", page)
    if deployment.part("recorder") == "ok":
        status = readiness.details["recorder_status"]
        age_s = status["last_commit_s"]
        last = "none stored yet" if age_s is None else f"last stored {age_s} s ago"
        yield ok(f"recorder: {status['behind']} ticks behind, {last}")
    yield from _web_processes(deployment)


def _bridges(client: Any) -> Iterator[Finding]:
    """Yield what bridges that work say of themselves."""
    texts: Any = client.mget(status_keys(shard_count(client)))
    statuses: list[dict[str, Any]] = [msgspec.json.decode(one) for one in texts if one]
    received, bad, stale, lag_ms, last = (
        [int(one.get(name) or 0) for one in statuses]
        for name in ("received", "bad", "stale", "lag_ms", "last_tick")
    )
    if max(lag_ms, default=0) > _SLOW_WRITE_MS:
        yield warning(
            f"a write of the bridge to Redis took {max(lag_ms)} ms",
            "run `redis-cli SLOWLOG GET 10`, and check the disk of Redis",
            STOPPED,
        )
    newest = max(last, default=0)
    age_ms = redis_clock.now_ms() - newest
    if (not newest or age_ms > _SILENT_MS) and (segments := _open_segments()):
        since = f"for {age_ms / 1000:,.0f} s" if newest else "since its start"
        yield warning(
            f"{', '.join(segments)} trade, and the bridge has received no tick {since}",
            "check the publishers, and that they use this Redis and its database number",
            STOPPED,
        )
    if sum(bad) > 0.01 * sum(received):
        yield warning(
            f"{sum(bad)} of {sum(received)} messages of publishers were no ticks",
            "read the samples in the bridge's log, and correct the publisher",
            "one-symbol-stuck",
        )
    last_text = f"last {max(0, age_ms) / 1000:,.1f} s ago" if newest else "none yet"
    yield ok(
        f"bridge: {len(statuses)} of {len(texts)} shards, {sum(received):,} ticks since the start, "
        f"{last_text}, {sum(stale):,} stale, {sum(bad):,} bad"
    )


def _open_segments() -> list[str]:
    try:
        return [one.segment for one in market_statuses() if one.status == OPEN]
    except DatabaseError:
        return []


def _web_processes(deployment: Deployment) -> Iterator[Finding]:
    try:
        answers = deployment.web_processes()
    except redis.RedisError as problem:
        yield error(
            f"web processes could not be asked ({type(problem).__name__})",
            "see the line of redis",
            STOPPED,
        )
        return
    if answers.processes > len(answers.reports):
        yield warning(
            f"{answers.processes - len(answers.reports)} of {answers.processes} web processes "
            "did not answer in time",
            "look at their CPU: one at 100 % needs more beside it (--workers)",
            "herd-at-0915",
        )
    if not answers.processes:
        # A web process answers from its first client on; the check of ports looks for others.
        yield ok("web: no process has served a client yet")
        return
    clients = sum(one.connections for one in answers.reports)
    slow = sum(one.slow for one in answers.reports)
    web = counted(answers.processes, "process")
    yield ok(f"web: {web}, {counted(clients, 'client')}, {slow} slow")
