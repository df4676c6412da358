"""Publishing over REST: one tick or many, answered item by item once Redis has them.

A tick of an accepted request is logged once. With an Idempotency-Key the whole request is carried
out once within a day; without one, a client that repeats it publishes again.
"""

import contextlib
import hashlib
from typing import Any

import msgspec
import redis
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse
from redis.exceptions import RedisError
from rest_framework import serializers
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.parsers import BaseParser
from rest_framework.request import Request

from instruments.errors import InstrumentsError
from instruments.index import index
from instruments.rest import ApiErrorSerializer
from quotes.conf import conf
from quotes.errors import BadTick, InboxFull
from quotes.publish.publishing import listing_of, publish_ticks, stale_ticks, tick_name
from quotes.store.names import own_key
from quotes.store.redis_clock import redis_clock
from quotes.store.request_clients import cause_of, request_client
from quotes.tick_schema import reference
from quotes.ticks import Tick, parse_tick, plain_json

_MAX_TICKS = 1000
_MAX_BODY_BYTES = 2_097_152
_MAX_KEY_LENGTH = 128
# An answer is kept for this time, for repeats with the same Idempotency-Key.
_ANSWER_KEPT_S = 86_400
# A request that was never answered (a killed process) blocks its key for this time at most.
_UNDER_WAY_S = 60
UNDER_WAY = b"under way"


class ResultSerializer(serializers.Serializer[Any]):
    """The result of one tick."""

    code = serializers.IntegerField(help_text="200: accepted; 400: not a tick, or not a symbol.")
    symbol = serializers.CharField(required=False)
    message = serializers.CharField(required=False, help_text="What is wrong with the tick.")
    stale = serializers.BooleanField(
        required=False,
        help_text="True: older than the latest price, so it is logged but not shown.",
    )
    unknown = serializers.ListField(
        child=serializers.CharField(),
        required=False,
        help_text="Fields whose value is no number: the price is published without them.",
    )


class PublishedSerializer(serializers.Serializer[Any]):
    accepted = serializers.IntegerField()
    rejected = serializers.IntegerField()
    results = ResultSerializer(many=True, help_text="In the order of the ticks.")


class RawJSONParser(BaseParser):
    """Leaves the body unparsed, so that numbers keep their digits."""

    media_type = "application/json"

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        return bytes(stream.read(_MAX_BODY_BYTES + 1))


class TooMuch(APIException):
    status_code = 413
    default_detail = f"a request may have at most {_MAX_BODY_BYTES} bytes"


class KeyInUse(APIException):
    status_code = 409
    default_detail = "a request with this Idempotency-Key is in progress, try again"
    wait = 1


class KeyReused(APIException):
    status_code = 422
    default_detail = "this Idempotency-Key was used with another body, use a new one"


class NotAccepted(APIException):
    """Answers 503: some ticks may have been accepted; the client may send the request again."""

    status_code = 503
    default_detail = "the ticks cannot be accepted at the moment, send the same request again"
    wait = 2


SCHEMA: dict[str, Any] = {
    "operation_id": "prices_publish",
    "request": {
        "application/json": {
            "oneOf": [
                reference("Tick"),
                {
                    "type": "array",
                    "items": reference("Tick"),
                    "minItems": 1,
                    "maxItems": _MAX_TICKS,
                },
            ]
        }
    },
    "parameters": [
        OpenApiParameter(
            "Idempotency-Key",
            str,
            OpenApiParameter.HEADER,
            description="Requests with the same key and body are carried out once within a day.",
        ),
        OpenApiParameter(
            "Retry-After",
            OpenApiTypes.INT,
            OpenApiParameter.HEADER,
            description="Seconds after which to try again.",
            required=True,
            response=[409],
        ),
    ],
    "responses": {
        200: OpenApiResponse(
            PublishedSerializer,
            "The accepted ticks are in the log in Redis.",
            [
                OpenApiExample(
                    "one is bad",
                    value={
                        "accepted": 1,
                        "rejected": 1,
                        "results": [
                            {"code": 200, "symbol": "AAPL"},
                            {"code": 400, "message": "no price, got '{}'"},
                        ],
                    },
                )
            ],
        ),
        **{
            code: OpenApiResponse(ApiErrorSerializer, text)
            for code, text in {
                400: "Not JSON, no ticks, or too many.",
                401: "Authentication is required to publish.",
                403: "The caller may not publish.",
                409: "A request with this key is in progress.",
                413: "The body is too large.",
                422: "The key was used with another body.",
                503: "Redis or the bridge does not answer; Retry-After says when to try again.",
            }.items()
        },
    },
}


def publish(request: Request) -> bytes:
    """Publish the ticks of a request's body; return the answer's JSON.

    Raises:
        APIException: the request as a whole cannot be carried out.
    """
    # An empty body reaches no parser.
    data: Any = request.data
    body = data if isinstance(data, bytes) else b""
    if len(body) > _MAX_BODY_BYTES:
        raise TooMuch
    items = _split(body)
    key = request.headers.get("Idempotency-Key", "")
    if len(key) > _MAX_KEY_LENGTH:
        raise ValidationError(f"Idempotency-Key may have at most {_MAX_KEY_LENGTH} characters")
    try:
        with request_client() as client:
            if not key:
                return _publish_items(items, client=client)
            return _publish_once(items, caller=request.user.pk, key=key, body=body, client=client)
    except InboxFull as error:
        raise NotAccepted from error
    except RedisError as error:
        raise NotAccepted(f"{NotAccepted.default_detail}: {cause_of(error)}") from error


def _split(body: bytes) -> list[bytes]:
    """Return the JSON text of each tick."""
    try:
        raw = msgspec.json.decode(plain_json(body), type=list[msgspec.Raw])
        items = [bytes(item) for item in raw]
    except msgspec.ValidationError:
        return [body]
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValidationError(f"not JSON: {error}") from error
    if not 0 < len(items) <= _MAX_TICKS:
        raise ValidationError(f"a request must have 1 to {_MAX_TICKS} ticks, got {len(items)}")
    return items


def _publish_once(
    items: list[bytes], *, caller: int | None, key: str, body: bytes, client: redis.Redis
) -> bytes:
    """Publish, unless a request with the key was carried out: then return its answer."""
    name = hashlib.sha256(f"{caller}:{key}".encode()).hexdigest()
    redis_key = own_key(f"idempotency:{name}")
    digest = hashlib.sha256(body).hexdigest().encode()
    if not client.set(redis_key, digest + UNDER_WAY, nx=True, ex=_UNDER_WAY_S):
        before: Any = client.get(redis_key) or digest + UNDER_WAY
        if before[: len(digest)] != digest:
            raise KeyReused
        if before[len(digest) :] == UNDER_WAY:
            raise KeyInUse
        return bytes(before[len(digest) :])
    try:
        answer = _publish_items(items, client=client)
    except BaseException:
        with contextlib.suppress(RedisError):  # else it blocks the key for a minute
            client.delete(redis_key)
        raise
    client.set(redis_key, digest + answer, ex=_ANSWER_KEPT_S)
    return answer


def _publish_items(items: list[bytes], *, client: redis.Redis) -> bytes:
    """Publish the valid ticks; return the JSON of each result."""
    results: list[dict[str, Any]] = []
    ticks: list[tuple[Tick, dict[str, Any]]] = []
    redis_clock.measure_if_due(client)
    now, ahead_ms = redis_clock.now_ms(), redis_clock.max_ahead_ms()
    for item in items:
        try:
            tick = _tick_of(item, now, ahead_ms)
        except (BadTick, InstrumentsError) as error:
            results.append({"code": 400, "message": str(error)})
            continue
        result: dict[str, Any] = {"code": 200, "symbol": tick_name(tick)}
        if tick.unknown:
            result["unknown"] = list(tick.unknown)
        results.append(result)
        ticks.append((tick, result))
    stale = {id(late.tick) for late in stale_ticks([tick for tick, _ in ticks], client=client)}
    for tick, result in ticks:
        if id(tick) in stale:
            result["stale"] = True
    publish_ticks([tick for tick, _ in ticks], client=client)
    answer = {
        "accepted": len(ticks),
        "rejected": len(items) - len(ticks),
        "results": results,
    }
    return msgspec.json.encode(answer)


def _tick_of(item: bytes, now: int, ahead_ms: int) -> Tick:
    """Parse a tick and check its name; raise BadTick or InstrumentsError."""
    tick = parse_tick(item, now_ms=now, ahead_ms=ahead_ms)
    listing_of(tick)
    index.resolve(tick_name(tick), strict=conf.strict_symbols)
    return tick
