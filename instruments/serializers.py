"""Query parameters and answers of the REST endpoints of instruments."""

from typing import Any, ClassVar

from rest_framework import serializers
from rest_framework.request import Request

from instruments.errors import quoted
from instruments.keys import MAX_SYMBOL_LENGTH
from instruments.models import Instrument, Segment
from instruments.rest import ColumnNumberField, ExactNumberField, query_values
from instruments.sessions import STATUSES

MOST_ROWS = 1000
ORDERINGS = ("symbol", "-symbol", "expiry", "-expiry", "strike", "-strike")

Read = serializers.Serializer[Any]


class Query(serializers.Serializer[Any]):
    """Parameters of a URL; an unknown one is refused, as it is most likely a typing error.

    Attributes:
        lists: parameters with comma-separated values, which may be repeated.
        examples: parameter -> a value for the documentation.
    """

    lists: ClassVar[tuple[str, ...]] = ()
    examples: ClassVar[dict[str, Any]] = {}

    @classmethod
    def read(cls, request: Request) -> dict[str, Any]:
        """Return the parameters of a request, or raise DRF's ValidationError."""
        checked = cls(data=query_values(request.query_params, cls.lists))
        checked.is_valid(raise_exception=True)
        return dict(checked.validated_data)

    def to_internal_value(self, data: Any) -> Any:
        unknown = sorted(set(data) - set(self.fields))
        if unknown:
            raise serializers.ValidationError(dict.fromkeys(unknown, "no such parameter"))
        try:
            return super().to_internal_value(data)
        except serializers.ValidationError as error:
            detail: Any = error.detail
            for name in detail:
                if name in data and (wanted := _wanted(self.fields[name])):
                    detail[name] = [f"must be {wanted}, got {quoted(str(data[name]))}"]
            raise


def _wanted(field: Any) -> str:
    """Return which values a parameter may have; "" where its own error says it better."""
    if isinstance(field, serializers.ChoiceField):
        return f"one of {', '.join(map(str, field.choices))}"
    if isinstance(field, serializers.DateField):
        return "a day, as 2026-08-27"
    if isinstance(field, serializers.DecimalField):
        return "a decimal number"
    if type(field) is serializers.IntegerField and field.max_value is not None:
        return f"a whole number from {field.min_value} to {field.max_value}"
    return ""


class InstrumentQuery(Query):
    examples = {"search": "reliance", "segment": "NSE_EQ", "limit": 20}
    search = serializers.CharField(
        required=False, max_length=100, help_text="Words of the symbol or the name."
    )
    prefix = serializers.CharField(
        required=False, max_length=MAX_SYMBOL_LENGTH, help_text="The beginning of the symbol."
    )
    segment = serializers.CharField(
        required=False,
        max_length=32,
        help_text="A segment's code, or a vendor's code for it: NFO, NSE_FO. C, FO, F and O select "
        "every segment that they can mean.",
    )
    type = serializers.ChoiceField(Instrument.Type.choices, required=False)
    underlying = serializers.CharField(
        required=False,
        max_length=MAX_SYMBOL_LENGTH,
        help_text="The beginning of the symbols of futures and options: NIFTY, M&M.",
    )
    expiry = serializers.DateField(required=False)
    expiry_from = serializers.DateField(required=False)
    expiry_to = serializers.DateField(required=False)
    strike_from = serializers.DecimalField(
        14, 4, required=False, coerce_to_string=False, help_text="In rupees, inclusive."
    )
    strike_to = serializers.DecimalField(
        14, 4, required=False, coerce_to_string=False, help_text="In rupees, inclusive."
    )
    active = serializers.ChoiceField(
        ["true", "false", "all"],
        default="true",
        help_text="true: active instruments; false: inactive ones, such as expired; all: both.",
    )
    ordering = serializers.ChoiceField(
        ORDERINGS,
        default="symbol",
        help_text="`-` reverses the order; instruments without an expiry or a strike come last.",
    )
    limit = serializers.IntegerField(min_value=1, max_value=MOST_ROWS, default=100)
    cursor = serializers.CharField(
        required=False,
        max_length=500,
        help_text="The `cursor` in `next` or `previous` of another page.",
    )


class ChainQuery(Query):
    expiry = serializers.DateField(
        required=False, help_text="The day of expiry. Default: the next one."
    )
    segment = serializers.CharField(
        required=False,
        max_length=32,
        help_text="A segment's code, or a vendor's. Default: the first segment with such options.",
    )


class StatusQuery(Query):
    examples = {"segment": "NSE_EQ"}
    segment = serializers.CharField(
        required=False, max_length=32, help_text="The code of one segment. Default: all."
    )


class LatestSerializer(Read):
    """The latest price of an instrument."""

    price = ExactNumberField(help_text="Rupees, with the digits that were published.")
    timestamp = serializers.IntegerField(help_text="Unix milliseconds, UTC.")


class InstrumentSerializer(serializers.ModelSerializer[Instrument]):
    """An instrument; null where the master does not know it or there is none."""

    key = serializers.CharField(help_text="The name of the instrument in this service.")
    type = serializers.ChoiceField(Instrument.Type.choices, source="instrument_type")
    strike = ColumnNumberField(allow_null=True, help_text="Rupees, exact; options only.")
    tick_size = ColumnNumberField(allow_null=True, help_text="Rupees, exact.")

    class Meta:
        model = Instrument
        fields = (
            *("key", "segment", "symbol", "name", "type", "underlying", "expiry", "strike"),
            *("lot_size", "tick_size", "exchange_token", "instrument_token", "isin", "active"),
        )
        read_only_fields = fields


class PricedInstrumentSerializer(InstrumentSerializer):
    """An instrument with its latest price."""

    latest = LatestSerializer(allow_null=True)

    class Meta:
        model = Instrument
        fields = (*InstrumentSerializer.Meta.fields, "latest")
        read_only_fields = fields


class InstrumentPageSerializer(Read):
    next = serializers.CharField(allow_null=True, help_text="The URL of the next page.")
    previous = serializers.CharField(allow_null=True, help_text="The URL of the previous page.")
    results = InstrumentSerializer(many=True)


class AliasSerializer(Read):
    """What a vendor calls a segment."""

    vendor = serializers.CharField()
    code = serializers.CharField()
    product = serializers.ChoiceField(
        ["", "F", "O"], help_text="F: futures only, O: options only, empty: everything."
    )


class SegmentSerializer(serializers.ModelSerializer[Segment]):
    aliases = AliasSerializer(many=True)

    class Meta:
        model = Segment
        fields = (
            *("code", "exchange", "kind", "description", "price_divisor", "decimals"),
            *("precedence", "aliases"),
        )
        read_only_fields = fields


class OptionSerializer(Read):
    """One side of a strike."""

    key = serializers.CharField()
    symbol = serializers.CharField()
    lot_size = serializers.IntegerField(allow_null=True)
    tick_size = ColumnNumberField(allow_null=True, help_text="Rupees, exact.")
    instrument_token = serializers.IntegerField(allow_null=True)
    latest = LatestSerializer(allow_null=True)


class StrikeSerializer(Read):
    strike = ColumnNumberField(help_text="Rupees, exact.")
    call = OptionSerializer(allow_null=True)
    put = OptionSerializer(allow_null=True)


class UnderlyingPriceSerializer(LatestSerializer):
    """The price that the money of a chain is at."""

    key = serializers.CharField(help_text="The index, share, spot or future whose price it is.")


class OptionChainSerializer(Read):
    underlying = serializers.CharField()
    segment = serializers.CharField()
    expiry = serializers.DateField()
    expiries = serializers.ListField(child=serializers.DateField(), help_text="All days of expiry.")
    underlying_price = UnderlyingPriceSerializer(
        allow_null=True, help_text="null if it is not known, or the caller may not see it."
    )
    at_the_money = ColumnNumberField(
        allow_null=True, help_text="The strike nearest to that price; rupees, exact."
    )
    strikes = StrikeSerializer(many=True)


class MarketStatusSerializer(Read):
    """What a segment is doing, and until when."""

    segment = serializers.CharField()
    status = serializers.ChoiceField(STATUSES)
    name = serializers.CharField(help_text="The holiday's or special day's name, or empty.")
    next_status = serializers.CharField(help_text="The next status; empty if no change is planned.")
    next_change = serializers.DateTimeField(
        allow_null=True, help_text="When the next status begins, UTC."
    )
    next_change_ist = serializers.DateTimeField(
        allow_null=True, help_text="The same on Indian clocks."
    )
    next_open = serializers.DateTimeField(
        allow_null=True, help_text="When continuous trading begins next, UTC."
    )


class MarketSerializer(Read):
    time = serializers.DateTimeField(help_text="The time of the answer, UTC.")
    time_ist = serializers.DateTimeField(help_text="The same on Indian clocks.")
    segments = MarketStatusSerializer(many=True)
