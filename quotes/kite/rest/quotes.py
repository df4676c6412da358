"""Views: the latest prices of many instruments, as `/quote`, `/quote/ohlc` and `/quote/ltp`."""

import logging
from abc import abstractmethod
from typing import Any

import msgspec
from django.core.exceptions import TooManyFieldsSent
from django.http import HttpResponse
from redis import Redis
from redis.exceptions import RedisError
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from instruments.index import index
from instruments.keys import InstrumentKey
from quotes.access.rest.permissions import refusal
from quotes.errors import BadTick
from quotes.kite.rest.envelope import KiteView, success
from quotes.kite.rest.names import wanted_instruments
from quotes.kite.rest.quote_fields import Fields, ltp_of, ohlc_of, quote_of
from quotes.rest.prices import PricesUnavailable
from quotes.runtime.warnings import RateLimitedWarnings
from quotes.store.latest import Wanted, read_snapshot
from quotes.store.names import own_key
from quotes.store.redis_clock import redis_clock
from quotes.store.request_clients import cause_of, request_client
from quotes.ticks import Tick, read_frame
from quotes.websocket.delivery.day_fields import DayFields

_warn = RateLimitedWarnings(logging.getLogger(__name__))

_Prices = dict[InstrumentKey, tuple[Tick, Fields]]


class PricesView(KiteView):
    """Latest prices under the names as requested.

    Absent are instruments that nobody knows, that have no price, and whose prices the caller may
    not see in real time.

    Attributes:
        most: how many instruments one request may name.
        has_day: whether fields of the day are shown.
    """

    most = 1000
    has_day = True

    def get(self, request: Request) -> HttpResponse:
        wanted = {
            name: one
            for name, one in wanted_instruments(self._names(request)).items()
            if not refusal(request, one.key)
        }
        prices = _read_prices(list(wanted.values()), has_day=self.has_day)
        return success(
            {
                name: self.shape(_token_of(one.key), *prices[one.key])
                for name, one in wanted.items()
                if one.key in prices
            }
        )

    @abstractmethod
    def shape(self, token: int, tick: Tick, fields: Fields) -> dict[str, Any]:
        """Return what is shown of an instrument."""

    def _names(self, request: Request) -> list[str]:
        """Return the names of a request; raise ValidationError."""
        try:
            names = [name.strip() for name in request.query_params.getlist("i")]
        except TooManyFieldsSent:
            names = [""] * (self.most + 1)
        if len(names) > self.most:
            raise ValidationError(
                f"`i` must name at most {self.most} instruments in one request; send several"
            )
        names = [name for name in names if name]
        if not names:
            raise ValidationError("`i` must name at least one instrument, as in ?i=NSE:INFY")
        return names


class LtpView(PricesView):
    has_day = False

    def shape(self, token: int, tick: Tick, fields: Fields) -> dict[str, Any]:
        return ltp_of(token, tick)


class OhlcView(PricesView):
    def shape(self, token: int, tick: Tick, fields: Fields) -> dict[str, Any]:
        return ohlc_of(token, tick, fields)


class QuoteView(PricesView):
    most = 500

    def shape(self, token: int, tick: Tick, fields: Fields) -> dict[str, Any]:
        return quote_of(token, tick, fields)


def _token_of(key: InstrumentKey) -> int:
    """Return Kite's token; 0 of what is not in the master, or has none there."""
    entry = index.describe(key)
    return (entry and entry.instrument_token) or 0


def _read_prices(wanted: list[Wanted], *, has_day: bool) -> _Prices:
    """Return the latest tick of each instrument that has one, and its fields."""
    try:
        with request_client() as client:
            redis_clock.measure_if_due(client)
            snapshot = read_snapshot(wanted, client=client)
            days = _read_days([one.key for one in wanted] if has_day else [], client=client)
    except RedisError as error:
        raise PricesUnavailable(
            f"prices cannot be read at the moment, try again: {cause_of(error)}"
        ) from error
    found: _Prices = {}
    for one in wanted:
        if (latest := snapshot.newest(one.key)) is None:
            continue
        try:
            tick = read_frame(latest.frame)
        except BadTick as error:
            _warn("latest", f"passed over the latest price of {one.key}: {error}")
            continue
        fields = days.enriched(str(one.key), tick, tick.fields) if has_day else {}
        found[one.key] = tick, fields
    return found


def _read_days(keys: list[InstrumentKey], *, client: Redis) -> DayFields:
    """Return what the recorder wrote of the days of instruments; raise redis.RedisError."""
    days = DayFields()
    names = [str(key) for key in keys]
    records: Any = client.hmget(own_key("day"), names) if names else []
    for name, record in zip(names, records, strict=True):
        try:
            days.take(name, record)
        except (msgspec.MsgspecError, ValueError) as error:  # whatever it holds, others are read
            _warn("day", f"cannot read the day of {name}: {error!r}")
    return days
