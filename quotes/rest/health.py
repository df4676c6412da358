"""Health: whether the process lives, and whether what it needs is there."""

from collections.abc import Callable

from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse
from redis.exceptions import RedisError

from quotes.kafka.conf import conf as kafka_conf
from quotes.kafka.status import kafka_lag, kafka_state
from quotes.store.clients import sync_client
from quotes.store.shards import idle_shards


def healthz(request: HttpRequest) -> JsonResponse:
    """Answer as long as the process does; nothing else is looked at."""
    return JsonResponse({"status": "ok"})


def readyz(request: HttpRequest) -> JsonResponse:
    """Answer 200 when prices can flow, else 503 with what is wrong, part by part."""
    parts = {name: check() for name, check in CHECKS.items()}
    if kafka_expected():
        parts["kafka"] = kafka_check()
    ready = all(state == "ok" for state in parts.values())
    status = "ok" if ready else "not ready"
    response = JsonResponse({"status": status, **parts, **lags()}, status=200 if ready else 503)
    # Not ready is an answer and no failure: Django is not to log it as one each time it is asked.
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response


def redis_state() -> str:
    try:
        sync_client().ping()
    except RedisError as error:
        return f"does not answer ({type(error).__name__})"
    return "ok"


def database_state() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        return f"does not answer ({type(error).__name__})"
    return "ok"


def bridge_state() -> str:
    try:
        idle = idle_shards(sync_client())
    except RedisError:
        return "not known while Redis does not answer"
    if not idle:
        return "ok"
    if idle == ["1/1"]:
        return "no bridge works: start `manage.py bridge_prices`"
    return f"no bridge works on shard {', '.join(idle)}: start `manage.py bridge_prices --shard`"


def kafka_check() -> str:
    try:
        return kafka_state(sync_client())
    except RedisError:
        return "not known while Redis does not answer"


def kafka_expected() -> bool:
    return bool(kafka_conf.bootstrap_servers and kafka_conf.topic_list)


def lags() -> dict[str, dict[str, float]]:
    """Return how far what comes from Kafka is behind, where anything does."""
    try:
        return {"kafka_lag": kafka_lag(sync_client())} if kafka_expected() else {}
    except RedisError:
        return {}


CHECKS: dict[str, Callable[[], str]] = {
    "redis": redis_state,
    "database": database_state,
    "bridge": bridge_state,
}
