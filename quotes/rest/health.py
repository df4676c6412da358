"""Health: whether the process answers, and whether prices can flow."""

from collections.abc import Callable

from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse
from redis.exceptions import RedisError

from quotes.kafka.conf import conf as kafka_conf
from quotes.kafka.status import kafka_lag, kafka_state
from quotes.store.clients import sync_client
from quotes.store.shards import idle_shards


def healthz(request: HttpRequest) -> JsonResponse:
    """Answer 200 as long as the process runs; nothing else is checked."""
    return JsonResponse({"status": "ok"})


def readyz(request: HttpRequest) -> JsonResponse:
    """Answer 200 if every part works, else 503; each part says what is wrong and what to do."""
    parts = {name: check() for name, check in _CHECKS.items()}
    if _kafka_expected():
        parts["kafka"] = _kafka_check()
    ready = all(state == "ok" for state in parts.values())
    status = "ok" if ready else "not ready"
    response = JsonResponse({"status": status, **parts, **_lags()}, status=200 if ready else 503)
    # Not ready is an answer, not a failure: Django must not log it with each probe.
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response


def _redis_state() -> str:
    try:
        sync_client().ping()
    except RedisError as error:
        return f"does not answer ({type(error).__name__})"
    return "ok"


def _database_state() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        return f"does not answer ({type(error).__name__})"
    return "ok"


def _bridge_state() -> str:
    try:
        idle = idle_shards(sync_client())
    except RedisError:
        return "unknown while Redis does not answer"
    if not idle:
        return "ok"
    if idle == ["1/1"]:
        return "no bridge works: start `manage.py bridge_prices`"
    return f"no bridge works on shard {', '.join(idle)}: start `manage.py bridge_prices --shard`"


def _kafka_check() -> str:
    try:
        return kafka_state(sync_client())
    except RedisError:
        return "unknown while Redis does not answer"


def _kafka_expected() -> bool:
    return bool(kafka_conf.bootstrap_servers and kafka_conf.topic_list)


def _lags() -> dict[str, dict[str, float]]:
    """Return how far each Kafka topic is behind, if Kafka is configured."""
    try:
        return {"kafka_lag": kafka_lag(sync_client())} if _kafka_expected() else {}
    except RedisError:
        return {}


_CHECKS: dict[str, Callable[[], str]] = {
    "redis": _redis_state,
    "database": _database_state,
    "bridge": _bridge_state,
}
