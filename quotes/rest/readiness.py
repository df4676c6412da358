"""Readiness: what of the deployment works, and what to do about what does not.

Redis and the bridge decide whether live prices flow. All else is a warning: nobody loses prices
because a recorder is slow.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
import redis
from channels.layers import get_channel_layer
from django.db import DatabaseError, connection

from instruments.calendar.coverage import calendar_warnings
from quotes.kafka.conf import conf as kafka_conf
from quotes.kafka.producer_status import producer_problem, read_status
from quotes.kafka.status import (
    backlog_warnings,
    consumer_statuses,
    kafka_backlog,
    kafka_lag,
    kafka_state,
)
from quotes.layer.any_layer import adapted
from quotes.runtime.background import TaskFailure
from quotes.runtime.disk_space import disk_problem, free_bytes
from quotes.runtime.failed_tasks import failed_tasks
from quotes.store.clients import probing_client
from quotes.store.memory import RedisMemory
from quotes.store.names import own_key, status_keys
from quotes.store.redis_clock import MACHINE, NOTABLE_MS, clock_problem, redis_clock
from quotes.store.shards import idle_shards, shard_count
from quotes.websocket.feed.feed import feeds

_UNKNOWN = "unknown while Redis does not answer"
_HIDDEN = "log in as staff, or ask from this machine, to read more"
# The parts without which live prices do not flow.
_VITAL = ("redis", "bridge", "lanes")
# A connection of the channel layer that is lost is back within this time, if Redis is well.
_RECONNECT_WITHIN_S = 2
# Above this share of Redis's memory an operator should act; the bridge trims the log at 85 %.
_FULL_SHARE = 0.75
# Above this share of a bridge's names an operator should act.
_CROWDED_SHARE = 0.7
# A recorder with ticks to store should have stored some within this time.
_COMMIT_WITHIN_S = 30
# A tick that the recorder left out is a warning for this long.
_REFUSED_WITHIN_MS = 3_600_000


class Readiness:
    """The state of every part at one moment.

    Attributes:
        parts: name of a part -> "ok", or what is wrong and what to do.
        details: numbers for operators: failed clients, memory, recorder, Kafka.
        warnings: what is wrong while live prices flow, each with its cure.
    """

    def __init__(self, *, with_names: bool, process: str = "web") -> None:
        self._with_names = with_names
        self._process = process
        self.parts: dict[str, str] = {}
        self.details: dict[str, Any] = {}
        self.warnings: list[str] = []
        self._has_prices = True  # whether no failed task stops them
        self._client = probing_client()
        # machine, how far its clock is ahead of Redis's, and the processes that measured it so
        self._clocks: list[tuple[str, int, list[str]]] = []

    @classmethod
    def check(cls, *, with_names: bool, process: str = "web") -> "Readiness":
        """Check every part; this takes less than 2 s when Redis hangs.

        Args:
            with_names: whether to show names that publishers use, and texts of errors.
            process: what this process is called beside the clock of its machine.
        """
        readiness = cls(with_names=with_names, process=process)
        readiness._check_parts()
        return readiness

    @property
    def is_ready(self) -> bool:
        return self._has_prices and all(self.parts[name] == "ok" for name in _VITAL)

    def _check_parts(self) -> None:
        parts = self.parts
        parts["redis"] = self._redis_state()
        parts["database"] = _database_state()
        parts["tasks"] = self._tasks_state()
        self.details["failed_clients"] = sum(feed.failed_clients for feed in list(feeds.values()))
        parts["bridge"] = self._ask(self._bridge_state)
        if (state := self._ask(self._bridge_warnings)) not in ("ok", _UNKNOWN):
            self.warnings.append(f"bridge: {state}")
        parts["recorder"] = self._ask(self._recorder_state)
        parts["memory"] = self._ask(self._memory_state)
        parts["lanes"] = _lanes_state()
        parts["disk"] = disk_problem(with_folders=self._with_names) or "ok"
        self.details["free_disk_bytes"] = min(free_bytes().values(), default=None)
        if kafka_conf.bootstrap_servers and kafka_conf.topic_list:
            parts["kafka"] = self._ask(self._kafka_state)
        if kafka_conf.bootstrap_servers and kafka_conf.produce_topic:
            parts["kafka_producer"] = self._ask(self._producer_state)
        if parts["redis"] == "ok":
            parts["clocks"] = self._clocks_state()
        if parts["database"] == "ok":
            self.warnings += _calendar_warnings()
        self.warnings = [
            f"{name}: {state}"
            for name, state in parts.items()
            if state not in ("ok", _UNKNOWN) and name not in _VITAL
        ] + self.warnings

    def _ask(self, check: Callable[[], str]) -> str:
        """Return a part's state; once Redis has not answered, it is not tried again."""
        if self.parts["redis"] != "ok":
            return _UNKNOWN
        try:
            return check()
        except (msgspec.MsgspecError, TypeError, ValueError, LookupError, AttributeError) as error:
            return f"its status in Redis is malformed ({type(error).__name__}): delete its key"
        except redis.ResponseError as error:
            return f"cannot be read: {error}"
        except redis.RedisError as error:
            self.parts["redis"] = f"does not answer ({type(error).__name__})"
            return _UNKNOWN

    def _redis_state(self) -> str:
        try:
            self._client.ping()
        except redis.RedisError as error:
            return f"does not answer ({type(error).__name__})"
        redis_clock.measure_if_due(self._client)
        own = {"machine": MACHINE, "clock_ms": redis_clock.difference_ms}
        self._note_clock(self._process, own)
        return "ok"

    def _tasks_state(self) -> str:
        """Return what the background tasks of this process do."""
        failures = failed_tasks()
        self._has_prices = not any(one.stops_prices for one in failures)
        if not failures:
            return "ok"
        return (
            f"{_sentences(failures)}: report the traceback in the log of this process, and restart "
            "it if this goes on"
        )

    def _note_clock(self, process: str, status: Mapping[str, Any]) -> None:
        """Note what a process has measured of its machine's clock; release 0.1.0 does not."""
        machine, clock_ms = str(status.get("machine", ""))[:64], int(status.get("clock_ms", 0))
        for name, difference_ms, processes in self._clocks:
            # Containers of one name may have several clocks.
            if name == machine and abs(difference_ms - clock_ms) <= NOTABLE_MS:
                if process not in processes:
                    processes.append(process)
                return
        self._clocks.append((machine, clock_ms, [process]))

    def _clocks_state(self) -> str:
        problems = [
            clock_problem(f"{machine} ({', '.join(processes)})", difference_ms)
            for machine, difference_ms, processes in self._clocks
        ]
        return "; ".join(filter(None, problems)) or "ok"

    def _bridge_state(self) -> str:
        idle = idle_shards(self._client)
        if not idle:
            return "ok"
        if idle == ["1/1"]:
            return "no bridge works: start `manage.py bridge_prices`"
        return (
            f"no bridge works on shard {', '.join(idle)}: start `manage.py bridge_prices --shard`"
        )

    def _bridge_warnings(self) -> str:
        """Warn of names of which no tick is shown, and of tasks of bridges that fail."""
        texts: list[Any] = self._client.mget(status_keys(shard_count(self._client)))
        statuses: list[dict[str, Any]] = [msgspec.json.decode(one) for one in texts if one]
        for one in statuses:
            self._note_clock("bridge", one)
        refused = sum(one.get("refused_names", 0) for one in statuses)
        if refused:
            names = [name for one in statuses for name in one["refused"]]
            self.warnings.append(
                f"every tick of {refused} names is refused, correct their publishers: "
                f"{self._shown(names)}"
            )
        for one in statuses:
            # Release 0.1.0 has none.
            if failures := msgspec.convert(one.get("failed_tasks", []), list[TaskFailure]):
                self.warnings.append(
                    f"bridge: {_sentences(failures)}: report the traceback in its log, and restart "
                    "it if this goes on"
                )
            streams, limit = one.get("streams", 0), one.get("max_streams", 0)
            if streams > _CROWDED_SHARE * limit:
                self.warnings.append(
                    f"{streams} of {limit} names are in use, and above it new ones are refused: "
                    "lower QUOTES_FORGET_AFTER_DAYS, or share the market among more bridges"
                )
        late = sum(one.get("late_names", 0) for one in statuses)
        if late:
            names = [name for one in statuses for name in one["late"]]
            self.warnings.append(
                f"every tick of {late} names is older than the last one shown, correct the clocks "
                "of their publishers, then run `manage.py forget_price` for: "
                f"{self._shown(names)}"
            )
        return "ok"

    def _shown(self, names: list[str]) -> str:
        """Return names and reasons, for those who may see them."""
        return "; ".join(names) if self._with_names else _HIDDEN

    def _recorder_state(self) -> str:
        text: Any = self._client.get(own_key("recorder:status"))
        if text is None:
            return "no recorder works, ticks wait in the log: start `manage.py record_prices`"
        status: dict[str, Any] = msgspec.json.decode(text)
        self._note_clock("recorder", status)
        committed = status.get("committed", 0)  # release 0.1.0 has none
        age_s = round(max(0, redis_clock.now_ms() - committed) / 1000, 1) if committed else None
        behind, error = status.get("behind", 0), status.get("error", "")
        self.details["recorder_status"] = {
            "position": status.get("position", {}),
            "behind": behind,
            "last_commit_s": age_s,
            "error": self._shown([error]) if error else "",
            "refused": status.get("refused", 0),
        }
        if redis_clock.now_ms() - status.get("last_refused_at", 0) < _REFUSED_WITHIN_MS:
            self.warnings.append(
                f"the history database refused {status['refused']} ticks for their contents, "
                f"and they are not in history: correct their publishers; the last: "
                f"{self._shown([status['last_refused']])}"
            )
        if error:
            return (
                f"it stores nothing, and tries again: {self._shown([error])}; check the history "
                "database"
            )
        if behind and age_s is not None and age_s > _COMMIT_WITHIN_S:
            return (
                f"it is {behind} ticks behind, and has stored none for {age_s:.0f} s: check the "
                "history database and the recorder's log"
            )
        return "ok"

    def _memory_state(self) -> str:
        info: Any = self._client.info("memory")
        memory = RedisMemory.from_info(info)
        self.details["memory_bytes"] = {"used": memory.used, "limit": memory.limit}
        if memory.evicts:
            return (
                "Redis may delete prices and the tick log: set its maxmemory-policy to "
                f"noeviction, got {memory.policy}"
            )
        if memory.used > _FULL_SHARE * memory.limit > 0:
            return (
                f"Redis has used {memory}, and above 85 % the tick log is trimmed early: raise "
                "maxmemory or lower QUOTES_LOG_MAX_BYTES"
            )
        return "ok"

    def _kafka_state(self) -> str:
        self.details["kafka_lag"] = kafka_lag(self._client)
        self.details["kafka_backlog"] = kafka_backlog(self._client)
        for status in consumer_statuses(self._client).values():
            self._note_clock("Kafka consumer", msgspec.structs.asdict(status))
        self.warnings += [f"kafka: {one}" for one in backlog_warnings(self._client)]
        return kafka_state(self._client)

    def _producer_state(self) -> str:
        """Return whether ticks are written to KAFKA_PRODUCE_TOPIC."""
        status = read_status(self._client)
        problem = producer_problem(status)
        if status is None:
            return problem
        self._note_clock("Kafka producer", msgspec.structs.asdict(status))
        age_s = round(max(0, redis_clock.now_ms() - status.written_at) / 1000, 1)
        error = self._shown([status.error]) if status.error else ""
        self.details["kafka_producer_status"] = {
            "position": status.position,
            "behind": status.behind,
            "last_write_s": age_s if status.written_at else None,
            "error": error,
        }
        if status.missed:
            self.warnings.append(
                f"{status.missed} ticks left the log before they were written to "
                f"{kafka_conf.produce_topic}: raise QUOTES_LOG_MAX_TICKS"
            )
        return f"{problem} ({error})" if problem and error else problem or "ok"


def _lanes_state() -> str:
    """Return whether this process gets what bridges send, from each host of the channel layer."""
    lost_s = adapted(get_channel_layer()).lost_s()
    if lost_s < _RECONNECT_WITHIN_S:
        return "ok"
    return (
        f"this process has had no connection for {lost_s:.0f} s to a Redis host that carries "
        "prices: check the hosts of CHANNEL_LAYERS"
    )


def _sentences(failures: Iterable[TaskFailure]) -> str:
    return "; ".join(one.sentence for one in failures)


def _calendar_warnings() -> list[str]:
    """Warn of years whose holidays nobody has entered."""
    try:
        return [f"calendar: {warning}" for warning in calendar_warnings()]
    except DatabaseError as error:
        return [f"calendar: cannot be read ({type(error).__name__}): run `manage.py migrate`"]


def _database_state() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        return f"does not answer ({type(error).__name__}): check DATABASE_URL and its server"
    return "ok"
