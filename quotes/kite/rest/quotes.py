"""Views: the latest prices of many instruments, as `/quote`, `/quote/ohlc` and `/quote/ltp`."""

from abc import abstractmethod
from typing import Any

from django.core.exceptions import TooManyFieldsSent
from django.http import HttpResponse
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from instruments.index import index
from instruments.keys import InstrumentKey
from quotes.access.rest.permissions import refusal
from quotes.kite.rest.envelope import KiteView, success
from quotes.kite.rest.names import wanted_instruments
from quotes.kite.rest.quote_fields import Fields, ltp_of, ohlc_of, quote_of
from quotes.rest.quotes import read_quotes
from quotes.ticks import Tick


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
        quotes = read_quotes(list(wanted.values()), has_day=self.has_day)
        return success(
            {
                name: self.shape(_token_of(one.key), found.tick, found.fields)
                for name, one in wanted.items()
                if (found := quotes.get(one.key)) is not None
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
