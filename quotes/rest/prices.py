"""REST endpoints of prices: latest prices with the fields and digits of the socket; publishing."""

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
from instruments.rest import ApiErrorSerializer, query_values
from quotes.access.rest.authentication import AUTHENTICATION
from quotes.access.rest.permissions import MayPublish, MayRead, refusal, require_now
from quotes.conf import conf
from quotes.rest.publish import SCHEMA, RawJSONParser, publish
from quotes.store.latest import LatestPrice, PriceSnapshot, Wanted, read_snapshot
from quotes.store.redis_clock import redis_clock
from quotes.store.request_clients import cause_of, request_client

_MAX_SYMBOLS = 1000
_RETRY_AFTER_S = 2

_EXAMPLE = {"symbol": "AAPL", "price": 189.45, "timestamp": 1712331900000}


class PriceSerializer(serializers.Serializer[Any]):
    """A price; docs/protocol.md lists the keys that may follow."""

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
        child=serializers.CharField(), help_text="The symbols that have no price."
    )
    refused = RefusedSerializer(
        many=True, required=False, help_text="The symbols that the caller may not see, if any."
    )


class PricesUnavailable(APIException):
    """Answers 503: Redis does not answer; the message says why."""

    status_code = 503
    default_detail = "prices cannot be read at the moment, try again"
    wait = _RETRY_AFTER_S  # DRF makes it the Retry-After header


_REDIS_DOWN = OpenApiResponse(
    ApiErrorSerializer, "Redis does not answer; Retry-After says when to try again."
)


def _wanted(name: str) -> Wanted:
    """Return the instrument of a name.

    Raises:
        UnknownSymbol: in strict mode, it is not in the master.
        ValidationError: it is not a symbol.
    """
    try:
        return Wanted(index.resolve(name, strict=conf.strict_symbols), name)
    except UnknownSymbol:
        raise
    except InstrumentsError as error:
        raise ValidationError(str(error)) from error


def _read_prices(names: list[Wanted]) -> PriceSnapshot:
    try:
        with request_client() as client:
            redis_clock.measure_if_due(client)
            return read_snapshot(names, client=client)
    except RedisError as error:
        raise PricesUnavailable(
            f"prices cannot be read at the moment, try again: {cause_of(error)}"
        ) from error


def _json_response(content: bytes) -> HttpResponse:
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
        """Publish one tick, or up to 1,000; the answer comes once they are in the log in Redis."""
        return _json_response(publish(request))

    @extend_schema(
        operation_id="prices_list",
        parameters=[
            OpenApiParameter(
                "symbols",
                str,
                required=True,
                description=f"Up to {_MAX_SYMBOLS} symbols, comma-separated.",
                examples=[OpenApiExample("two", value="RELIANCE,M&M")],
            )
        ],
        responses={
            200: OpenApiResponse(
                PricesSerializer,
                "The prices found.",
                [OpenApiExample("one is missing", value={"prices": [_EXAMPLE], "missing": ["X"]})],
            ),
            400: OpenApiResponse(
                ApiErrorSerializer, "No symbols, too many, or a name that is not a symbol."
            ),
            503: _REDIS_DOWN,
        },
    )
    def get(self, request: Request) -> HttpResponse:
        """Return the latest prices of many symbols."""
        text = query_values(request.query_params, ["symbols"]).get("symbols", "")
        names = list(dict.fromkeys(name for name in text.split(",") if name))
        if not names:
            raise ValidationError("symbols must name at least one symbol, as in ?symbols=A,B")
        if len(names) > _MAX_SYMBOLS:
            raise ValidationError(
                f"symbols must name at most {_MAX_SYMBOLS} symbols, was {len(names)}"
            )
        readable, refused = [], []
        for name in names:
            with contextlib.suppress(UnknownSymbol):
                one = _wanted(name)
                if reason := refusal(request, one.key):
                    refused.append({"symbol": name, "code": 403, "message": reason})
                else:
                    readable.append(one)
        snapshot = _read_prices(readable)
        hidden = {one["symbol"] for one in refused}
        found: dict[str, LatestPrice | None] = {name: None for name in names if name not in hidden}
        found.update({one.name: snapshot.newest(one.key) for one in readable})
        frames = b",".join([latest.frame for latest in found.values() if latest])
        missing = [name for name, latest in found.items() if not latest]
        more = b',"refused":%b' % msgspec.json.encode(refused) if refused else b""
        return _json_response(
            b'{"prices":[%b],"missing":%b%b}' % (frames, msgspec.json.encode(missing), more)
        )


class PriceView(APIView):
    @extend_schema(
        operation_id="prices_retrieve",
        responses={
            200: OpenApiResponse(
                PriceSerializer, "The price.", [OpenApiExample("a price", value=_EXAMPLE)]
            ),
            400: OpenApiResponse(ApiErrorSerializer, "The name is not a symbol."),
            404: OpenApiResponse(ApiErrorSerializer, "The symbol has no price."),
            503: _REDIS_DOWN,
        },
    )
    def get(self, request: Request, symbol: str) -> HttpResponse:
        """Return the latest price of one symbol."""
        try:
            wanted = _wanted(symbol)
        except UnknownSymbol as error:
            raise NotFound(str(error)) from error
        require_now(request, wanted.key)
        latest = _read_prices([wanted]).newest(wanted.key)
        if latest is None:
            raise NotFound(f"no price for {symbol}")
        return _json_response(latest.frame)
