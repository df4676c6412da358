"""Health: whether the process lives, and whether what it needs is there."""

from collections.abc import Callable

from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse
from redis.exceptions import RedisError

from quotes.store import own_key, sync_client


def healthz(request: HttpRequest) -> JsonResponse:
    """Answer as long as the process does; nothing else is looked at."""
    return JsonResponse({"status": "ok"})


def readyz(request: HttpRequest) -> JsonResponse:
    """Answer 200 when prices can flow, else 503 with what is wrong, part by part."""
    parts = {name: check() for name, check in CHECKS.items()}
    ready = all(state == "ok" for state in parts.values())
    return JsonResponse(
        {"status": "ok" if ready else "not ready", **parts}, status=200 if ready else 503
    )


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
        alive = sync_client().exists(own_key("status"))
    except RedisError:
        return "not known while Redis does not answer"
    return "ok" if alive else "no bridge works: start `manage.py bridge_prices`"


CHECKS: dict[str, Callable[[], str]] = {
    "redis": redis_state,
    "database": database_state,
    "bridge": bridge_state,
}
