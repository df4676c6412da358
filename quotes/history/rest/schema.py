"""The OpenAPI schema of history: parameters, responses, errors and examples."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse
from rest_framework import serializers

from instruments.rest import UnknownNameSerializer, error_response

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


class HintsSerializer(serializers.Serializer[Any]):
    known = serializers.BooleanField(
        required=False,
        help_text="False if nobody has the name; else absent.",
    )
    suggestions = serializers.ListField(
        child=serializers.CharField(), required=False, help_text="What an unknown name may mean."
    )


class CandlesSerializer(HintsSerializer):
    """Candles of one instrument, by time."""

    instrument = serializers.CharField()
    interval = serializers.CharField()
    candles = serializers.ListField(
        child=serializers.ListField(),
        help_text="[start, open, high, low, close, volume, oi], or objects.",
    )
    next = serializers.URLField(allow_null=True)


class InstrumentCandlesSerializer(serializers.Serializer[Any]):
    instrument = serializers.CharField()
    candles = serializers.ListField(child=serializers.ListField())


class ManyCandlesSerializer(serializers.Serializer[Any]):
    """Candles of many instruments, in the order of the request, without those that have none."""

    interval = serializers.CharField()
    known = serializers.BooleanField(
        required=False, help_text="False if there are unknown names; else absent."
    )
    unknown = UnknownNameSerializer(many=True, required=False)
    instruments = InstrumentCandlesSerializer(many=True)
    next = serializers.URLField(allow_null=True)


class TicksSerializer(HintsSerializer):
    """Ticks of one instrument, by time and then by arrival."""

    instrument = serializers.CharField()
    ticks = serializers.ListField(
        child=serializers.ListField(),
        help_text="[timestamp, price, volume, oi, seq, epoch, shown], or price frames.",
    )
    next = serializers.URLField(allow_null=True)


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


def _response(serializer: Any, value: Any) -> OpenApiResponse:
    example = OpenApiExample("an answer", value=value, response_only=True)
    return OpenApiResponse(serializer, "A page, or the whole range.", [example])


CANDLES_RESPONSE = _response(CandlesSerializer, CANDLES)
MANY_RESPONSE = _response(ManyCandlesSerializer, MANY)
TICKS_RESPONSE = _response(TicksSerializer, TICKS)
