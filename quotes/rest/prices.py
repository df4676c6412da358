"""REST: latest prices, with the same fields and digits as on the socket."""

import contextlib
from typing import Any

import msgspec
from django.http import HttpResponse
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
)
from redis.exceptions import RedisError
from rest_framework import serializers
from rest_framework.exceptions import APIException, NotFound, ValidationError
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from instruments.errors import InstrumentsError, UnknownSymbol
from instruments.index import index
from instruments.rest import ApiErrorSerializer
from quotes.access.rest.authentication import AUTHENTICATION
from quotes.access.rest.permissions import MayPublish, MayRead, refusal, require_now
from quotes.conf import conf
from quotes.rest.publish import SCHEMA, RawJSONParser, publish
from quotes.store.clients import sync_client
from quotes.store.latest import LatestPrice, PriceSnapshot, Wanted, read_snapshot

MAX_SYMBOLS = 1000
RETRY_AFTER_S = 2

EXAMPLE = {"symbol": "AAPL", "price": 189.45, "timestamp": 1712331900000}


class PriceSerializer(serializers.Serializer[Any]):
    """A price frame; more keys may follow these (docs/protocol.md)."""

    symbol = serializers.CharField()
    price = serializers.FloatField(help_text="Rupees, with the digits that were published.")
    timestamp = serializers.IntegerField(help_text="Unix milliseconds, UTC.")
    segment = serializers.CharField(required=False)


class RefusedSerializer(serializers.Serializer[Any]):
    symbol = serializers.CharField()
    code = serializers.IntegerField()
    message = serializers.CharField()


class PricesSerializer(serializers.Serializer[Any]):
    prices = PriceSerializer(many=True, help_text="In the order of `symbols`.")
    missing = serializers.ListField(
        child=serializers.CharField(), help_text="Those of `symbols` that have no price."
    )
    refused = RefusedSerializer(
        many=True, required=False, help_text="Those that the caller may not see, if there are any."
    )


class RedisAway(APIException):
    """Answers 503; a client may try again after a moment."""

    status_code = 503
    default_detail = "prices are not to be had for a moment, try again"
    wait = RETRY_AFTER_S  # DRF makes it the Retry-After header


AWAY = OpenApiResponse(ApiErrorSerializer, "Redis is away; Retry-After says when to try again.")


def wanted(name: str) -> Wanted:
    """Return the instrument that a name means; raise UnknownSymbol in strict mode."""
    try:
        return Wanted(index.resolve(name, strict=conf.strict_symbols), name)
    except UnknownSymbol:
        raise
    except InstrumentsError as error:
        raise ValidationError(str(error)) from error


def snapshot_of(names: list[Wanted]) -> PriceSnapshot:
    try:
        return read_snapshot(names, client=sync_client())
    except RedisError as error:
        raise RedisAway from error


def json_response(content: bytes) -> HttpResponse:
    response = HttpResponse(content, content_type="application/json")
    response["Cache-Control"] = "no-store"
    return response


class PricesView(APIView):
    authentication_classes = AUTHENTICATION
    parser_classes = [RawJSONParser]

    def get_permissions(self) -> list[BasePermission]:
        return [MayPublish() if self.request.method == "POST" else MayRead()]

    @extend_schema(**SCHEMA)
    def post(self, request: Request) -> HttpResponse:
        """Publish one tick, or up to 1,000; answered when they are in Redis's log."""
        return json_response(publish(request))

    @extend_schema(
        operation_id="prices_list",
        parameters=[
            OpenApiParameter(
                "symbols",
                str,
                required=True,
                description=f"Up to {MAX_SYMBOLS} symbols, comma-separated.",
                examples=[OpenApiExample("two", value="RELIANCE,M&M")],
            )
        ],
        responses={
            200: OpenApiResponse(
                PricesSerializer,
                "The prices that there are.",
                [OpenApiExample("one is missing", value={"prices": [EXAMPLE], "missing": ["X"]})],
            ),
            400: OpenApiResponse(ApiErrorSerializer, "No symbols, too many, or one that is none."),
            503: AWAY,
        },
    )
    def get(self, request: Request) -> HttpResponse:
        """Return the latest prices of many symbols."""
        text = request.query_params.get("symbols", "")
        names = list(dict.fromkeys(name for name in text.split(",") if name))
        if not names:
            raise ValidationError("symbols must name at least one symbol, as in ?symbols=A,B")
        if len(names) > MAX_SYMBOLS:
            raise ValidationError(
                f"symbols must name at most {MAX_SYMBOLS} symbols, was {len(names)}"
            )
        asked, refused = [], []
        for name in names:
            with contextlib.suppress(UnknownSymbol):
                one = wanted(name)
                if reason := refusal(request, one.key):
                    refused.append({"symbol": name, "code": 403, "message": reason})
                else:
                    asked.append(one)
        snapshot = snapshot_of(asked)
        hidden = {one["symbol"] for one in refused}
        found: dict[str, LatestPrice | None] = {name: None for name in names if name not in hidden}
        found.update({one.name: snapshot.newest(one.key) for one in asked})
        frames = b",".join([latest.frame for latest in found.values() if latest])
        missing = [name for name, latest in found.items() if not latest]
        more = b',"refused":%b' % msgspec.json.encode(refused) if refused else b""
        return json_response(
            b'{"prices":[%b],"missing":%b%b}' % (frames, msgspec.json.encode(missing), more)
        )


class PriceView(APIView):
    @extend_schema(
        operation_id="prices_retrieve",
        responses={
            200: OpenApiResponse(
                PriceSerializer, "The price.", [OpenApiExample("a price", value=EXAMPLE)]
            ),
            400: OpenApiResponse(ApiErrorSerializer, "What was given is no symbol."),
            404: OpenApiResponse(ApiErrorSerializer, "The symbol has no price."),
            503: AWAY,
        },
    )
    def get(self, request: Request, symbol: str) -> HttpResponse:
        """Return the latest price of one symbol."""
        try:
            asked = wanted(symbol)
        except UnknownSymbol as error:
            raise NotFound(str(error)) from error
        require_now(request, asked.key)
        latest = snapshot_of([asked]).newest(asked.key)
        if latest is None:
            raise NotFound(f"no price of {symbol} is known")
        return json_response(latest.frame)
