"""`quotes`, `multiquotes` and `depth`: latest prices."""

from typing import Any

import msgspec
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from instruments.errors import InstrumentsError
from quotes.access.rest.permissions import refusal, require_now
from quotes.openalgo.rest.base import InstrumentBody, PostView, failure, success
from quotes.openalgo.rest.instruments import find_instrument, find_instruments
from quotes.openalgo.symbols import OpenAlgoName
from quotes.openalgo.values import Fields, Level, levels, number
from quotes.rest.quotes import read_quotes
from quotes.store.latest import Wanted
from quotes.ticks import Tick

_MAX_SYMBOLS = 1000


class ManyInstrumentsBody(serializers.Serializer[Any]):
    symbols = serializers.ListField(
        child=InstrumentBody(), allow_empty=False, max_length=_MAX_SYMBOLS
    )


class QuotesView(PostView):
    body = InstrumentBody

    def answer(self, request: Request, terms: dict[str, Any]) -> Response:
        """Return the quote of one instrument."""
        return success(data=quote(*_read_one(request, terms)))


class DepthView(PostView):
    body = InstrumentBody

    def answer(self, request: Request, terms: dict[str, Any]) -> Response:
        """Return the quote of one instrument with five levels of its order book."""
        tick, fields = _read_one(request, terms)
        buy, sell = levels(fields)
        values = quote(tick, fields)
        del values["ask"], values["bid"]
        return success(
            data={
                **values,
                "ltq": _raw(number(fields, "last_qty")),
                "totalbuyqty": _total(fields, "buy_qty", buy),
                "totalsellqty": _total(fields, "sell_qty", sell),
                "asks": _sides(sell),
                "bids": _sides(buy),
            }
        )


class MultiQuotesView(PostView):
    body = ManyInstrumentsBody

    def answer(self, request: Request, terms: dict[str, Any]) -> Response:
        """Return the quotes of many instruments, in the order of the request."""
        names = [OpenAlgoName(one["exchange"], one["symbol"]) for one in terms["symbols"]]
        wanted: dict[OpenAlgoName, Wanted] = {}
        errors: dict[OpenAlgoName, str] = {}
        for name, found in find_instruments(names).items():
            if isinstance(found, InstrumentsError):
                errors[name] = str(found)
            elif reason := refusal(request, found.key):
                errors[name] = reason
            else:
                wanted[name] = found
        if not wanted:
            invalid = [_item(name, error=errors[name]) for name in names]
            return failure(errors[names[0]], 400, invalid_symbols=invalid)
        prices = read_quotes(list(wanted.values()))
        results = []
        for name in names:
            if name in errors:
                results.append(_item(name, error=errors[name]))
            elif (price := prices.get(wanted[name].key)) is None:
                results.append(_item(name, error=_no_price(name)))
            else:
                results.append(_item(name, data=quote(price.tick, price.fields)))
        return success(results=results)


def quote(tick: Tick, fields: Fields) -> dict[str, Any]:
    """Return the values of a quote, with the digits that were published."""
    names = ("open", "high", "low", "ask", "bid", "prev_close", "volume", "oi")
    return {
        **{name: _raw(number(fields, name)) for name in names},
        "ltp": _raw(tick.price_text.encode()),
    }


def _read_one(request: Request, terms: dict[str, Any]) -> tuple[Tick, Fields]:
    name = OpenAlgoName(terms["exchange"], terms["symbol"])
    wanted = find_instrument(name)
    require_now(request, wanted.key)
    found = read_quotes([wanted]).get(wanted.key)
    if found is None:
        raise NotFound(_no_price(name))
    return found.tick, found.fields


def _no_price(name: OpenAlgoName) -> str:
    return f"no price for {name.exchange}:{name.symbol}"


def _item(name: OpenAlgoName, **values: Any) -> dict[str, Any]:
    return {"symbol": name.symbol, "exchange": name.exchange, **values}


def _raw(text: bytes) -> msgspec.Raw:
    return msgspec.Raw(text)


def _sides(side: list[Level]) -> list[dict[str, Any]]:
    return [{"price": _raw(one.price), "quantity": _raw(one.quantity)} for one in side]


def _total(fields: Fields, name: str, side: list[Level]) -> Any:
    """Return all that is bid or offered, or the sum of what is shown of it."""
    if name in fields:
        return _raw(number(fields, name))
    return sum(msgspec.json.decode(one.quantity) for one in side)
