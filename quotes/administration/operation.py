"""How the parts of the deployment work, as rows of a table: what `/readyz` reads, in words."""

from typing import Any

import msgspec
import redis

from quotes.administration.pages import number, size
from quotes.administration.tables import table_row
from quotes.rest.readiness import Readiness
from quotes.store.clients import probing_client
from quotes.store.names import status_keys
from quotes.store.redis_clock import redis_clock
from quotes.store.shards import shard_count

_NAMES = {
    "redis": "Redis",
    "database": "Database",
    "tasks": "Tasks of this process",
    "bridge": "Bridge",
    "recorder": "Recorder",
    "memory": "Redis's memory",
    "lanes": "Prices to this process",
    "kafka": "Kafka consumer",
    "kafka_producer": "Kafka producer",
    "disk": "Disk",
    "clocks": "Clocks",
}


class Operation:
    """The state of all parts at one moment.

    Attributes:
        rows: name, state and numbers of each part; then each warning.
        redis_problem: what is wrong with Redis, or "".
    """

    def __init__(self, readiness: Readiness) -> None:
        parts, details = readiness.parts, readiness.details
        self.redis_problem = "" if parts["redis"] == "ok" else parts["redis"]
        numbers = {
            "recorder": _recorder_numbers(details.get("recorder_status", {})),
            "memory": _memory_numbers(details.get("memory_bytes", {})),
            "kafka": _kafka_numbers(details),
            "kafka_producer": _producer_numbers(details.get("kafka_producer_status", {})),
            "bridge": "" if self.redis_problem else _bridge_numbers(),
        }
        self.rows: list[dict[str, Any]] = [
            table_row(
                name,
                _NAMES.get(name, name.replace("_", " ").capitalize()),
                state,
                numbers.get(name, ""),
                warns=state != "ok",
            )
            for name, state in parts.items()
        ]
        shown = {f"{name}: {state}" for name, state in parts.items()}
        self.rows += [
            table_row(f"warning {at}", "Warning", text, "", warns=True)
            for at, text in enumerate(readiness.warnings)
            if text not in shown
        ]

    @classmethod
    def read(cls) -> "Operation":
        """Read the state; this takes less than 2 s when Redis hangs."""
        return cls(Readiness.check(with_names=True))


def _bridge_numbers() -> str:
    """Return how far the bridges are, or "" if that cannot be read."""
    client = probing_client()
    try:
        texts: Any = client.mget(status_keys(shard_count(client)))
        statuses = [msgspec.json.decode(one) for one in texts if one]
        received = sum(int(one.get("received", 0)) for one in statuses)
        lag_ms = max((int(one.get("lag_ms", 0)) for one in statuses), default=0)
        last = max((int(one.get("last_tick") or 0) for one in statuses), default=0)
    except (redis.RedisError, msgspec.MsgspecError, TypeError, ValueError, AttributeError):
        return ""
    if not statuses:
        return ""
    age = f"{max(0, redis_clock.now_ms() - last) / 1000:.1f} s ago" if last else "none yet"
    return f"{number(received)} ticks since the start, last {age}; slowest write {lag_ms} ms"


def _recorder_numbers(status: dict[str, Any]) -> str:
    if not status:
        return ""
    age_s = status.get("last_commit_s")
    last = "" if age_s is None else f", last stored {age_s} s ago"
    return f"{number(status.get('behind', 0))} ticks behind{last}"


def _memory_numbers(memory: dict[str, int]) -> str:
    if not memory:
        return ""
    limit = f" of {size(memory['limit'])}" if memory.get("limit") else ""
    return f"{size(memory.get('used', 0))}{limit}"


def _kafka_numbers(details: dict[str, Any]) -> str:
    """Return the lag of each topic as `/readyz` has it."""
    found = {name: details[name] for name in ("kafka_lag", "kafka_backlog") if details.get(name)}
    texts = [
        f"{name.removeprefix('kafka_')}: {msgspec.json.encode(value).decode()}"
        for name, value in found.items()
    ]
    return "; ".join(texts)


def _producer_numbers(status: dict[str, Any]) -> str:
    if not status:
        return ""
    age_s = status.get("last_write_s")
    last = "" if age_s is None else f", last written {age_s} s ago"
    return f"{number(status.get('behind') or 0)} ticks behind{last}"
