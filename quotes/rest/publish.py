"""Publishing over REST: one tick or many, answered when Redis has them, item by item."""

import hashlib
from typing import Any

import msgspec
import redis
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
from quotes.publish.publishing import publish_ticks, stale_ticks, tick_name
from quotes.runtime.clock import now_ms
from quotes.store.clients import sync_client
from quotes.store.names import own_key
from quotes.ticks import Tick, parse_tick

MAX_TICKS = 1000
MAX_BODY_BYTES = 2_097_152
MAX_KEY_LENGTH = 128
# So long an answer is kept for who asks again with the same Idempotency-Key.
REMEMBERED_S = 86_400
# A request that was begun and never answered (a killed process) is not in the way for longer.
UNDER_WAY_S = 60
UNDER_WAY = b"under way"

EXAMPLE = {"symbol": "AAPL", "price": 189.45, "timestamp": 1712331900000}


class ResultSerializer(serializers.Serializer[Any]):
    """What became of one tick."""

    code = serializers.IntegerField(help_text="200: taken; 400: it is no tick.")
    symbol = serializers.CharField(required=False)
    message = serializers.CharField(required=False, help_text="What is wrong with it.")
    stale = serializers.BooleanField(
        required=False, help_text="True: older than the last one shown: logged, and not shown."
    )


class PublishedSerializer(serializers.Serializer[Any]):
    accepted = serializers.IntegerField()
    rejected = serializers.IntegerField()
    results = ResultSerializer(many=True, help_text="In the order of the ticks.")


class TicksBody(serializers.Serializer[Any]):
    """One tick, or a list of them."""

    symbol = serializers.CharField()
    price = serializers.FloatField()
    timestamp = serializers.IntegerField(required=False, help_text="Unix milliseconds, UTC.")


class RawJSONParser(BaseParser):
    """Leaves the body as it came: numbers keep their digits."""

    media_type = "application/json"

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        return bytes(stream.read(MAX_BODY_BYTES + 1))


class TooMuch(APIException):
    status_code = 413
    default_detail = f"a request has at most {MAX_BODY_BYTES} bytes"


class KeyInUse(APIException):
    status_code = 409
    default_detail = "a request with this Idempotency-Key is under way, try again"
    wait = 1


class KeyReused(APIException):
    status_code = 422
    default_detail = "the Idempotency-Key was used with another body"


class NotTaken(APIException):
    """Answers 503: some ticks may have been shown; the same request may be sent again."""

    status_code = 503
    default_detail = "the ticks could not be taken for a moment, try again"
    wait = 2


SCHEMA: dict[str, Any] = {
    "operation_id": "prices_publish",
    "request": {"application/json": TicksBody(many=True)},
    "parameters": [
        OpenApiParameter(
            "Idempotency-Key",
            str,
            OpenApiParameter.HEADER,
            description="Within a day the same key and body are carried out once.",
        )
    ],
    "responses": {
        200: OpenApiResponse(
            PublishedSerializer,
            "Redis has the ticks in its log.",
            [
                OpenApiExample(
                    "one is bad",
                    value={
                        "accepted": 1,
                        "rejected": 1,
                        "results": [
                            {"code": 200, "symbol": "AAPL"},
                            {"code": 400, "message": "no price, was '{}'"},
                        ],
                    },
                )
            ],
        ),
        **{
            code: OpenApiResponse(ApiErrorSerializer, text)
            for code, text in {
                400: "No JSON, no ticks, or too many.",
                401: "Who publishes must say who it is.",
                403: "Not entitled to publish.",
                409: "A request with this key is under way.",
                413: "Too long.",
                422: "The key was used with another body.",
                503: "Redis is away; Retry-After says when to try again.",
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
    given: Any = request.data
    body = given if isinstance(given, bytes) else b""
    if len(body) > MAX_BODY_BYTES:
        raise TooMuch
    items = split(body)
    key = request.headers.get("Idempotency-Key", "")
    if len(key) > MAX_KEY_LENGTH:
        raise ValidationError(f"Idempotency-Key has at most {MAX_KEY_LENGTH} characters")
    client = sync_client()
    try:
        if not key:
            return publish_items(items, client=client)
        return publish_once(items, caller=request.user.pk, key=key, body=body, client=client)
    except (RedisError, InboxFull) as error:
        raise NotTaken from error


def split(body: bytes) -> list[bytes]:
    """Return the JSON text of each tick."""
    try:
        items = [bytes(item) for item in msgspec.json.decode(body, type=list[msgspec.Raw])]
    except msgspec.ValidationError:
        return [body]
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValidationError(f"not JSON: {error}") from error
    if not 0 < len(items) <= MAX_TICKS:
        raise ValidationError(f"a request has 1 to {MAX_TICKS} ticks, was {len(items)}")
    return items


def publish_once(
    items: list[bytes], *, caller: int | None, key: str, body: bytes, client: redis.Redis
) -> bytes:
    """Publish unless a request with the key was carried out; then return its answer."""
    name = hashlib.sha256(f"{caller}:{key}".encode()).hexdigest()
    place = own_key(f"idempotency:{name}")
    digest = hashlib.sha256(body).hexdigest().encode()
    if not client.set(place, digest + UNDER_WAY, nx=True, ex=UNDER_WAY_S):
        before: Any = client.get(place) or digest + UNDER_WAY
        if before[: len(digest)] != digest:
            raise KeyReused
        if before[len(digest) :] == UNDER_WAY:
            raise KeyInUse
        return bytes(before[len(digest) :])
    try:
        answer = publish_items(items, client=client)
    except BaseException:
        client.delete(place)
        raise
    client.set(place, digest + answer, ex=REMEMBERED_S)
    return answer


def publish_items(items: list[bytes], *, client: redis.Redis) -> bytes:
    """Publish the ticks that are good; return what became of each."""
    results: list[dict[str, Any]] = []
    ticks: list[tuple[Tick, dict[str, Any]]] = []
    for item in items:
        try:
            tick = tick_of(item)
        except (BadTick, InstrumentsError) as error:
            results.append({"code": 400, "message": str(error)})
            continue
        result: dict[str, Any] = {"code": 200, "symbol": tick_name(tick)}
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


def tick_of(item: bytes) -> Tick:
    """Return the tick that a text is; raise BadTick or InstrumentsError."""
    tick = parse_tick(item, now_ms=now_ms())
    index.resolve(tick_name(tick), strict=conf.strict_symbols)
    return tick
