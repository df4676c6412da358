"""The OpenAPI schema of history: parameters, responses, errors and examples."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    extend_schema_field,
)
from rest_framework import serializers

from instruments.rest import UnknownNameSerializer, error_response
from quotes.history.candles.intervals import LABELS
from quotes.history.rest.negotiation import ArrowRenderer, CsvRenderer, ParquetRenderer
from quotes.tick_schema import PRICE, Schema, reference

KEY = OpenApiParameter(
    "key",
    str,
    OpenApiParameter.PATH,
    description="The key of an instrument, or any name that the market uses for it.",
    examples=[OpenApiExample("a key", value="NSE_EQ:RELIANCE")],
)
ERRORS = {
    400: error_response(
        "A parameter, range, cursor or name is invalid, or the range is too large.",
        400,
        "a range of 1m candles is at most 60 days long (QUOTES_HISTORY_MAX_DAYS), got 365",
    ),
    404: error_response(
        "Only with QUOTES_STRICT_SYMBOLS: the instrument is not in the master.",
        404,
        "not in the instrument master, got 'NOPE'",
    ),
    406: error_response(
        "The format is not supported, or pyarrow is not installed.",
        406,
        "could not satisfy the request Accept header",
    ),
    503: error_response(
        "The history database does not answer. Try again after the seconds in Retry-After.",
        503,
        "the history database does not answer: try again in a moment",
    ),
}


def _row(*columns: tuple[str, Schema]) -> Schema:
    """Return the schema of a row that is an array: each column's name, and what is in it."""
    return {
        "type": "array",
        "prefixItems": [{"title": name, **schema} for name, schema in columns],
        "minItems": len(columns),
        "maxItems": len(columns),
    }


def _object(description: str, *columns: tuple[str, Schema]) -> Schema:
    return {
        "type": "object",
        "description": description,
        "properties": dict(columns),
        "required": [name for name, _ in columns],
    }


_TIME: Schema = {
    "type": ["integer", "string"],
    "description": "Unix milliseconds, or with times=iso ISO 8601 in Indian time.",
}
_RUPEES: Schema = {"type": "number", "description": "Rupees, exact."}
_QUANTITY: Schema = {"type": ["integer", "null"], "description": "null: not known."}
_COUNT: Schema = {"type": "integer"}
_YES_OR_NO: Schema = {"type": "boolean"}
_OF_CANDLE = [
    *((name, _RUPEES) for name in ("open", "high", "low", "close")),
    *((name, _QUANTITY) for name in ("volume", "oi")),
]
_OF_TICK = [
    ("seq", {"type": "integer", "description": "Its number within the epoch."}),
    ("epoch", {"type": "integer", "description": "When the numbering began."}),
    ("shown", {"type": "boolean", "description": "False for a late tick, never sent live."}),
]
# Name -> schema, of rows in both of their forms.
SCHEMAS: dict[str, Schema] = {
    "CandleRow": _row(("start", _TIME), *_OF_CANDLE),
    "Candle": _object(
        "A candle, with rows=objects.",
        *(("start", _TIME), ("ends", _TIME), *_OF_CANDLE, ("ticks", _COUNT)),
        ("final", {**_YES_OR_NO, "description": "Its time is over."}),
        ("revised", {**_YES_OR_NO, "description": "A late tick changed it after that."}),
    ),
    "TickRow": _row(
        *(("timestamp", _TIME), ("price", _RUPEES), ("volume", _QUANTITY), ("oi", _QUANTITY)),
        *_OF_TICK,
    ),
    "RecordedTick": {
        **PRICE,
        "description": "A price frame as clients received it, with rows=objects.",
        "properties": {**PRICE["properties"], "timestamp": _TIME, **dict(_OF_TICK)},
        "required": [*PRICE["required"], "seq", "epoch", "shown"],
    },
}


@extend_schema_field({"anyOf": [reference("CandleRow"), reference("Candle")]})
class CandleField(serializers.Field[Any, Any, Any, Any]):
    """A candle in either of its forms."""


@extend_schema_field({"anyOf": [reference("TickRow"), reference("RecordedTick")]})
class TickField(serializers.Field[Any, Any, Any, Any]):
    """A tick in either of its forms."""


class PageSerializer(serializers.Serializer[Any]):
    known = serializers.BooleanField(
        required=False, help_text="False if nobody has the name; else absent."
    )
    next = serializers.URLField(
        allow_null=True, help_text="The address of the next page; null after the last."
    )


class HintsSerializer(PageSerializer):
    suggestions = serializers.ListField(
        child=serializers.CharField(), required=False, help_text="What an unknown name may mean."
    )


class CandlesSerializer(HintsSerializer):
    """Candles of one instrument, by time."""

    instrument = serializers.CharField()
    interval = serializers.CharField(help_text=", ".join(LABELS.values()))
    candles = serializers.ListField(
        child=CandleField(),
        help_text="[start, open, high, low, close, volume, oi], or objects.",
    )


class InstrumentCandlesSerializer(serializers.Serializer[Any]):
    instrument = serializers.CharField()
    candles = serializers.ListField(child=CandleField())


class ManyCandlesSerializer(PageSerializer):
    """Candles of many instruments, in the order of the request, without those that have none."""

    interval = serializers.CharField(help_text=", ".join(LABELS.values()))
    unknown = UnknownNameSerializer(many=True, required=False)
    instruments = InstrumentCandlesSerializer(many=True)


class TicksSerializer(HintsSerializer):
    """Ticks of one instrument, by time and then by arrival."""

    instrument = serializers.CharField()
    ticks = serializers.ListField(
        child=TickField(),
        help_text="[timestamp, price, volume, oi, seq, epoch, shown], or price frames.",
    )


CANDLES = {
    "instrument": "NSE_EQ:RELIANCE",
    "interval": "5m",
    "candles": [[1712289300000, 2929.85, 2935.0, 2925.05, 2931.4, 182034, None]],
    "next": None,
}
MANY = {
    "interval": "1d",
    "instruments": [
        {
            "instrument": "NSE_EQ:RELIANCE",
            "candles": [[1712255400000, 2929.85, 2938.0, 2903.1, 2920.2, 4818262, None]],
        }
    ],
    "next": None,
}
TICKS = {
    "instrument": "NSE_EQ:RELIANCE",
    "ticks": [[1712289301000, 2929.85, 1204, None, 17, 1712289000000, True]],
    "next": None,
}


def _responses(serializer: Any, value: Any) -> dict[Any, Any]:
    """Return the documentation of rows in each format, and of the answer to If-None-Match."""
    example = OpenApiExample("a page", value=value, response_only=True)
    text = "A page, or the whole range."
    return {
        (200, "application/json"): OpenApiResponse(serializer, text, [example]),
        (200, CsvRenderer.media_type): OpenApiResponse(OpenApiTypes.STR, text),
        (200, ArrowRenderer.media_type): OpenApiResponse(OpenApiTypes.BINARY, text),
        (200, ParquetRenderer.media_type): OpenApiResponse(OpenApiTypes.BINARY, text),
        304: OpenApiResponse(None, "The page is the same as the one that If-None-Match names."),
        **ERRORS,
    }


CANDLES_RESPONSES = _responses(CandlesSerializer, CANDLES)
MANY_RESPONSES = _responses(ManyCandlesSerializer, MANY)
TICKS_RESPONSES = _responses(TicksSerializer, TICKS)


def _header(name: str, description: str) -> OpenApiParameter:
    return OpenApiParameter(
        name, str, OpenApiParameter.HEADER, response=[200], description=description
    )


HEADERS = [
    OpenApiParameter(
        "If-None-Match",
        str,
        OpenApiParameter.HEADER,
        description="The ETag of a page that the client has: the answer is 304 if it is the same.",
    ),
    _header("ETag", "Of a page. A stream has none."),
    _header("Link", 'The next page, with rel="next", if there is one.'),
    _header("Content-Disposition", "A name for the file. JSON has none."),
]
