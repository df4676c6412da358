"""REST: segments, instruments, option chains, and what the markets are doing."""

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from itertools import groupby
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param
from rest_framework.views import APIView

from instruments import examples
from instruments.chains import newest_source
from instruments.index import index
from instruments.keys import SEGMENTS
from instruments.keyset import page_of
from instruments.latest import PublishedPrice, permitted, visible_prices
from instruments.models import Segment
from instruments.rest import error_response
from instruments.searching import OptionChain, instrument_get, instruments_find
from instruments.selectors import market_statuses
from instruments.serializers import (
    ChainQuery,
    InstrumentPageSerializer,
    InstrumentQuery,
    InstrumentSerializer,
    MarketSerializer,
    OptionChainSerializer,
    PricedInstrumentSerializer,
    SegmentSerializer,
    StatusQuery,
)
from instruments.sessions import IST

ACTIVE = {"true": True, "false": False, "all": None}
BAD_PARAMETER = error_response(
    "A parameter is unknown or has a bad value.",
    400,
    "not a segment, got 'NFOO'",
)
UNKNOWN = error_response(
    "The instrument is not in the master.", 404, "not in the instrument master, got 'NOPE'"
)


def answer(serializer: Any, description: str, value: Any) -> OpenApiResponse:
    example = OpenApiExample("example", value=value, response_only=True)
    return OpenApiResponse(serializer, description, [example])


def shown(latest: PublishedPrice | None) -> dict[str, Any] | None:
    return None if latest is None else {"price": latest.price, "timestamp": latest.timestamp}


def nearest(strikes: Iterable[Decimal], to: PublishedPrice) -> Decimal:
    """Return the strike that is nearest to a price, the lower of two."""
    return min(strikes, key=lambda strike: (abs(strike - to.price), strike))


class SegmentsView(APIView):
    @extend_schema(
        operation_id="segments_list",
        # The library makes a list of the example.
        responses={
            200: answer(SegmentSerializer(many=True), "Every segment.", examples.SEGMENTS[0])
        },
    )
    def get(self, request: Request) -> Response:
        """Return the segments, with what vendors call them, in the order of precedence."""
        segments = Segment.objects.prefetch_related("aliases")
        return Response(SegmentSerializer(segments, many=True).data)


class InstrumentsView(APIView):
    @extend_schema(
        operation_id="instruments_list",
        parameters=[InstrumentQuery],
        responses={
            200: answer(InstrumentPageSerializer, "A page of instruments.", examples.PAGE),
            400: BAD_PARAMETER,
        },
    )
    def get(self, request: Request) -> Response:
        """Return the instruments that match all parameters, a page at a time."""
        terms = InstrumentQuery.read(request)
        page = {name: terms.pop(name) for name in ("ordering", "limit")}
        cursor = terms.pop("cursor", "")
        terms["instrument_type"] = terms.pop("type", "")
        terms["active"] = ACTIVE[terms["active"]]
        found = page_of(instruments_find(**terms), cursor=cursor, **page)
        return Response(
            {
                "next": address(request, found.next),
                "previous": address(request, found.previous),
                "results": InstrumentSerializer(found.rows, many=True).data,
            }
        )


class InstrumentView(APIView):
    @extend_schema(
        operation_id="instruments_retrieve",
        parameters=[
            OpenApiParameter(
                "key",
                str,
                OpenApiParameter.PATH,
                description="A key, or any name in use on the market: `NSE_EQ:M&M` (in a URL "
                "`NSE_EQ:M%26M`), `NIFTY 50`, `NSE:RELIANCE-EQ`, `NSE_EQ|INE002A01018`.",
                examples=[OpenApiExample("a key", value="NSE_EQ:RELIANCE")],
            )
        ],
        responses={
            200: answer(PricedInstrumentSerializer, "The instrument.", examples.PRICED),
            400: error_response(
                "The name is not a symbol, or is ambiguous.",
                400,
                "a symbol must have 1 to 64 characters, got ''",
            ),
            404: UNKNOWN,
        },
    )
    def get(self, request: Request, key: str) -> Response:
        """Return one instrument and its latest price."""
        instrument: Any = instrument_get(name=key)
        instrument.latest = shown(visible_prices(request, [instrument.key]).get(instrument.key))
        return Response(PricedInstrumentSerializer(instrument).data)


class OptionChainView(APIView):
    @extend_schema(
        operation_id="instruments_option_chain",
        parameters=[
            OpenApiParameter(
                "underlying",
                str,
                OpenApiParameter.PATH,
                description="The beginning of the options' symbols, in any case, or a name of the "
                "index: NIFTY 50.",
                examples=[OpenApiExample("an index", value="NIFTY")],
            ),
            ChainQuery,
        ],
        responses={
            200: answer(OptionChainSerializer, "The chain, by strike.", examples.CHAIN),
            400: BAD_PARAMETER,
            404: error_response(
                "No such options exist.", 404, "no options with this underlying, got 'NIFTTY'"
            ),
            403: error_response(
                "The caller may not see the segment's prices.", 403, "not entitled to NFO"
            ),
        },
    )
    def get(self, request: Request, underlying: str) -> Response:
        """Return the options of an underlying that expire on one day, with latest prices."""
        chain = OptionChain(underlying=underlying, **ChainQuery.read(request))
        keys = [option.key for option in chain.options]
        if keys and not permitted(request, keys[:1]):  # they are all of one segment
            self.permission_denied(request, f"not entitled to {chain.segment}")
        prices = visible_prices(request, [*keys, *chain.sources])
        money = newest_source(chain.sources, prices)
        strikes = []
        for strike, options in groupby(chain.options, key=lambda option: option.strike):
            sides: dict[str, Any] = {option.instrument_type: option for option in options}
            for option in sides.values():
                option.latest = shown(prices.get(option.key))
            strikes.append({"strike": strike, "call": sides.get("CE"), "put": sides.get("PE")})
        return Response(
            OptionChainSerializer(
                {
                    "underlying": chain.underlying,
                    "segment": chain.segment,
                    "expiry": chain.expiry,
                    "expiries": chain.expiries,
                    "underlying_price": money and {"key": str(money[0]), **(shown(money[1]) or {})},
                    "at_the_money": money and nearest([row["strike"] for row in strikes], money[1]),
                    "strikes": strikes,
                }
            ).data
        )


class MarketStatusView(APIView):
    @extend_schema(
        operation_id="market_status",
        parameters=[StatusQuery],
        responses={
            200: answer(MarketSerializer, "The status of each segment.", examples.MARKET),
            400: BAD_PARAMETER,
        },
    )
    def get(self, request: Request) -> Response:
        """Return the status of each segment, and the next one.

        It is open, pre_open, closing_auction, closed or holiday.
        """
        code = StatusQuery.read(request).get("segment")
        segments = index.segments_of(code) if code else SEGMENTS
        now = timezone.now()
        statuses = market_statuses(segments=segments, moment=now)
        response = Response(
            {
                "time": utc(now),
                "time_ist": now.astimezone(IST).isoformat(),
                "segments": [
                    {
                        "segment": status.segment,
                        "status": status.status,
                        "name": status.name,
                        "next_status": status.next_status,
                        "next_change": status.next_change and utc(status.next_change),
                        "next_change_ist": status.next_change_ist
                        and status.next_change_ist.isoformat(),
                        "next_open": status.next_open and utc(status.next_open),
                    }
                    for status in statuses
                ],
            }
        )
        response["Cache-Control"] = "no-store"
        return response


def utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def address(request: Request, cursor: str) -> str | None:
    """Return the address of another page of the same list; None without a cursor."""
    return replace_query_param(request.build_absolute_uri(), "cursor", cursor) if cursor else None
