"""REST: implied volatility and greeks of an option chain."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from instruments import examples
from instruments.api import utc
from instruments.chain_greeks import (
    BLACK_76,
    BLACK_SCHOLES,
    Valuation,
    best_underlying,
    expiry_moment,
    underlyings_of,
)
from instruments.conf import conf
from instruments.greeks import Greeks
from instruments.latest import PublishedPrice, permitted, visible_prices
from instruments.models import Instrument
from instruments.rest import ColumnNumberField, ExactNumberField, error_response
from instruments.searching import OptionChain
from instruments.serializers import ChainQuery, Read, UnderlyingPriceSerializer

# Prices have no more digits than these.
_DIGITS = 6


class GreeksQuery(ChainQuery):
    strikes_around = serializers.IntegerField(
        min_value=0,
        max_value=1000,
        required=False,
        help_text="Strikes on either side of the one at the money. Default: all.",
    )


class OptionGreeksSerializer(Read):
    """An option; its greeks are null if they cannot be computed."""

    key = serializers.CharField()
    strike = ColumnNumberField(help_text="Rupees, exact.")
    type = serializers.ChoiceField(Instrument.Type.choices, help_text="CE or PE.")
    price = ExactNumberField(allow_null=True, help_text="The latest price, rupees.")
    timestamp = serializers.IntegerField(allow_null=True, help_text="Its time, Unix milliseconds.")
    iv = serializers.FloatField(allow_null=True, help_text="Implied volatility, percent a year.")
    delta = serializers.FloatField(allow_null=True)
    gamma = serializers.FloatField(allow_null=True)
    theta = serializers.FloatField(allow_null=True, help_text="Rupees per calendar day.")
    vega = serializers.FloatField(allow_null=True, help_text="Rupees per point of volatility.")


class GreeksSerializer(Read):
    underlying = serializers.CharField()
    segment = serializers.CharField()
    expiry = serializers.DateField()
    expires = serializers.DateTimeField(help_text="The close on that day, UTC.")
    model = serializers.ChoiceField(
        [BLACK_76, BLACK_SCHOLES],
        allow_null=True,
        help_text="black-76 if the price is a future's; null without a price.",
    )
    rate = serializers.FloatField(help_text="The interest rate, percent a year.")
    underlying_price = UnderlyingPriceSerializer(
        allow_null=True, help_text="null if it is not known, or the caller may not see it."
    )
    years = serializers.FloatField(
        allow_null=True, help_text="From the time of that price to the expiry, years of 365 days."
    )
    options = OptionGreeksSerializer(many=True, help_text="By strike, the call before the put.")


class GreeksView(APIView):
    @extend_schema(
        operation_id="instruments_greeks",
        parameters=[
            OpenApiParameter(
                "underlying",
                str,
                OpenApiParameter.PATH,
                description="As for the option chain.",
                examples=[OpenApiExample("an index", value="NIFTY")],
            ),
            GreeksQuery,
        ],
        responses={
            200: OpenApiResponse(
                GreeksSerializer,
                "The options with their greeks.",
                [OpenApiExample("an answer", value=examples.GREEKS, response_only=True)],
            ),
            400: error_response(
                "A parameter is unknown or has a bad value.", 400, "not a segment, got 'NFOO'"
            ),
            404: error_response(
                "No such options exist.", 404, "no options with this underlying, got 'NIFTTY'"
            ),
            403: error_response(
                "The caller may not see the segment's prices.", 403, "not entitled to NFO"
            ),
        },
    )
    def get(self, request: Request, underlying: str) -> Response:
        """Return implied volatility, delta, gamma, theta and vega of an option chain."""
        query = GreeksQuery.read(request)
        around = query.pop("strikes_around", None)
        chain = OptionChain(underlying=underlying, **query)
        keys = [option.key for option in chain.options]
        if keys and not permitted(request, keys[:1]):  # they are all of one segment
            self.permission_denied(request, f"not entitled to {chain.segment}")
        candidates = underlyings_of(chain.segment, chain.underlying, chain.expiry)
        valued_by = [one.key for one in candidates]
        best = best_underlying(candidates, visible_prices(request, valued_by))
        options = _around(chain.options, best and best[1], around)
        prices = visible_prices(request, [option.key for option in options])
        expires = expiry_moment(chain.segment, chain.expiry)
        valuation = best and Valuation(*best, expires, conf.interest_rate / 100)
        response = Response(
            GreeksSerializer(
                {
                    "underlying": chain.underlying,
                    "segment": chain.segment,
                    "expiry": chain.expiry,
                    "expires": utc(expires),
                    "model": best and best[0].model,
                    "rate": conf.interest_rate,
                    "underlying_price": best
                    and {
                        "key": str(best[0].key),
                        "price": best[1].price,
                        "timestamp": best[1].timestamp,
                    },
                    "years": valuation and _rounded(valuation.years),
                    "options": [
                        _row(option, prices.get(option.key), valuation) for option in options
                    ],
                }
            ).data
        )
        response["Cache-Control"] = "no-store"
        return response


def _around(
    options: list[Instrument], price: PublishedPrice | None, count: int | None
) -> list[Instrument]:
    """Return the options of so many strikes on either side of a price, or of the middle strike."""
    if count is None:
        return options
    strikes = sorted({option.strike for option in options if option.strike is not None})
    middle = strikes[(len(strikes) - 1) // 2]
    at = min(strikes, key=lambda strike: (abs(strike - price.price), strike)) if price else middle
    position = strikes.index(at)
    near = set(strikes[max(0, position - count) : position + count + 1])
    return [option for option in options if option.strike in near]


def _row(
    option: Instrument, price: PublishedPrice | None, valuation: Valuation | None
) -> dict[str, Any]:
    found = valuation.greeks(option, price) if valuation else None
    return {
        "key": option.key,
        "strike": option.strike,
        "type": option.instrument_type,
        "price": price and price.price,
        "timestamp": price and price.timestamp,
        "iv": found and _rounded(found.volatility * 100),
        **{
            name: found and _rounded(getattr(found, name))
            for name in Greeks._fields
            if name != "volatility"
        },
    }


def _rounded(number: float) -> float:
    return float(f"{number:.{_DIGITS}g}")
