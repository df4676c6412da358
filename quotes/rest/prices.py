"""REST endpoints of prices: latest prices with the fields and digits of the socket; publishing."""

from collections.abc import Sequence
from typing import Any

import msgspec
from django.http import HttpResponse
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
    extend_schema_field,
)
from redis.exceptions import RedisError
from rest_framework import serializers
from rest_framework.exceptions import APIException, NotFound, ValidationError
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from instruments.errors import UnknownSymbol
from instruments.rest import ApiErrorSerializer, UnknownNameSerializer, query_values
from quotes.access.rest.authentication import AUTHENTICATION
from quotes.access.rest.permissions import MayPublish, MayRead, refusal, require_now
from quotes.rest.publish import SCHEMA, RawJSONParser, publish
from quotes.store.latest import LatestPrice, PriceSnapshot, Wanted, read_snapshot
from quotes.store.redis_clock import redis_clock
from quotes.store.request_clients import cause_of, request_client
from quotes.store.requested_names import Resolved, resolve_names, unknown_items
from quotes.tick_schema import reference

_MAX_SYMBOLS = 1000
_RETRY_AFTER_S = 2

_EXAMPLE = {"symbol": "AAPL", "price": 189.45, "timestamp": 1712331900000}


@extend_schema_field(reference("Price"))
class PriceField(serializers.Field[Any, Any, Any, Any]):
    """A price, as the bridge has encoded it."""


class RefusedSerializer(serializers.Serializer[Any]):
    symbol = serializers.CharField()
    code = serializers.IntegerField()
    message = serializers.CharField()


class PricesSerializer(serializers.Serializer[Any]):
    prices = serializers.ListField(child=PriceField(), help_text="In the order of `symbols`.")
    missing = serializers.ListField(
        child=serializers.CharField(), help_text="The symbols that have no price."
    )
    refused = RefusedSerializer(
        many=True, required=False, help_text="The symbols that the caller may not see, if any."
    )
    known = serializers.BooleanField(
        required=False, help_text="False if there are unknown symbols; else absent."
    )
    unknown = UnknownNameSerializer(
        many=True,
        required=False,
        help_text="The symbols that neither the instrument master nor a publisher has, if any.",
    )


class PricesUnavailable(APIException):
    """Answers 503: Redis does not answer; the message says why."""

    status_code = 503
    default_detail = "prices cannot be read at the moment, try again"
    wait = _RETRY_AFTER_S  # DRF makes it the Retry-After header


_REDIS_DOWN = OpenApiResponse(
    ApiErrorSerializer, "Redis does not answer; Retry-After says when to try again."
)


class UnknownName(NotFound):
    """Answers 404: neither the master nor Redis has the name."""

    def __init__(self, message: str, suggestions: Sequence[str]) -> None:
        meant = f"; did you mean {' or '.join(suggestions)}?" if suggestions else ""
        super().__init__(message + meant)
        self.suggestions = suggestions


def _resolve(names: Sequence[str]) -> Resolved:
    """Return the instruments of names; raise ValidationError if one is not a symbol."""
    resolved = resolve_names(names)
    for error in resolved.errors.values():
        if not isinstance(error, UnknownSymbol):
            raise ValidationError(str(error)) from error
    return resolved


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
                {"type": "string", "minLength": 1, "pattern": "[^,]"},
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
                f"symbols must name at most {_MAX_SYMBOLS} symbols, got {len(names)}"
            )
        readable: dict[str, Wanted] = {}
        refused = []
        resolved = _resolve(names)
        for name, one in resolved.wanted.items():
            if reason := refusal(request, one.key):
                refused.append({"symbol": name, "code": 403, "message": reason})
            else:
                readable[name] = one
        snapshot = _read_prices(list(readable.values()))
        hidden = {one["symbol"] for one in refused}
        found: dict[str, LatestPrice | None] = {name: None for name in names if name not in hidden}
        found.update({name: snapshot.newest(one.key) for name, one in readable.items()})
        frames = b",".join([latest.frame for latest in found.values() if latest])
        missing = [name for name, latest in found.items() if not latest]
        more = b',"refused":%b' % msgspec.json.encode(refused) if refused else b""
        if resolved.unknown:
            items = msgspec.json.encode(unknown_items(resolved.unknown))
            more += b',"known":false,"unknown":%b' % items
        return _json_response(
            b'{"prices":[%b],"missing":%b%b}' % (frames, msgspec.json.encode(missing), more)
        )


class PriceView(APIView):
    @extend_schema(
        operation_id="prices_retrieve",
        responses={
            200: OpenApiResponse(
                reference("Price"), "The price.", [OpenApiExample("a price", value=_EXAMPLE)]
            ),
            400: OpenApiResponse(ApiErrorSerializer, "The name is not a symbol."),
            404: OpenApiResponse(ApiErrorSerializer, "The symbol has no price."),
            503: _REDIS_DOWN,
        },
    )
    def get(self, request: Request, symbol: str) -> HttpResponse:
        """Return the latest price of one symbol."""
        resolved = _resolve([symbol])
        for error in resolved.errors.values():
            raise UnknownName(str(error), error.suggestions or ()) from error
        wanted = resolved.wanted[symbol]
        require_now(request, wanted.key)
        latest = _read_prices([wanted]).newest(wanted.key)
        if latest is None and symbol in resolved.unknown:
            raise UnknownName(f"no price for {symbol}", resolved.unknown[symbol])
        if latest is None:
            raise NotFound(f"no price for {symbol}")
        return _json_response(latest.frame)
