"""What the REST API is asked for, and what its answers mean; without sockets."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Generic
from urllib.parse import quote

from live_price.errors import SymbolError
from live_price.http_api import Parameters, cursor_of
from live_price.reading import Reader, key_of
from live_price.rows import Rows
from live_price.values import Candle, MarketStatus, N, Tick

Time = int | str | date | datetime

Get = Callable[[str, Parameters], Any]


@dataclass(frozen=True)
class LatestPrices(Generic[N]):
    """The latest prices of symbols.

    Attributes:
        prices: in the order of the request.
        missing: symbols without a price.
        unknown: symbol that nobody has -> instrument keys that may be meant.
        refused: symbol -> why the caller may not see it.
    """

    prices: Rows[Tick[N]]
    missing: tuple[str, ...]
    unknown: dict[str, tuple[str, ...]]
    refused: dict[str, SymbolError]


def time_text(value: Time | None) -> str | None:
    """Return a time as the API reads it.

    Integers are Unix milliseconds; a time without an offset is in India; a date is a whole day.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | date):
        raise TypeError(f"a time must be milliseconds, text, a date or a datetime, got {value!r}")
    return str(value) if isinstance(value, int) else value.isoformat()


class Pages(Generic[N]):
    """Reads values out of the API's answers."""

    def __init__(self, reader: Reader[N]) -> None:
        self._reader = reader

    def latest(self, get: Get, symbols: str | Iterable[str]) -> LatestPrices[N]:
        names = [symbols] if isinstance(symbols, str) else list(symbols)
        answer = get("prices/", {"symbols": ",".join(names)})
        rows = Rows(self._tick(one) for one in answer["prices"])
        unknown = {one["symbol"]: tuple(one["suggestions"]) for one in answer.get("unknown", ())}
        refused = {
            one["symbol"]: SymbolError(one["message"], one["code"], one["symbol"])
            for one in answer.get("refused", ())
        }
        return LatestPrices(rows, tuple(answer["missing"]), unknown, refused)

    def _tick(self, values: Any) -> Tick[N]:
        return self._reader.tick(values, values["symbol"], key_of(values))

    def instruments(self, get: Get, parameters: Parameters) -> Iterator[dict[str, Any]]:
        for page in self._pages(get, "instruments/", parameters):
            yield from page["results"]

    def candles(
        self, get: Get, symbol: str, interval: str, since: Time | None, until: Time | None
    ) -> Iterator[Candle[N]]:
        parameters = {"interval": interval, **_range(since, until)}
        for page in self._pages(get, _address(symbol, "candles"), parameters):
            key = page["instrument"]
            _check_known(page, page["candles"], symbol)
            for one in page["candles"]:
                yield self._reader.candle(one, symbol, key, page["interval"], past=True)

    def ticks(
        self, get: Get, symbol: str, since: Time | None, until: Time | None
    ) -> Iterator[Tick[N]]:
        for page in self._pages(get, _address(symbol, "ticks"), _range(since, until)):
            key = page["instrument"]
            _check_known(page, page["ticks"], symbol)
            for one in page["ticks"]:
                yield self._reader.tick(one, symbol, key, past=True)

    @staticmethod
    def _pages(get: Get, path: str, parameters: Parameters) -> Iterator[Any]:
        cursor: str | None = None
        while True:
            page = get(path, {**parameters, "cursor": cursor})
            yield page
            cursor = cursor_of(page["next"])
            if cursor is None:
                return

    @staticmethod
    def market_status(get: Get) -> list[MarketStatus]:
        return [
            MarketStatus(
                one["segment"],
                one["status"],
                one["name"],
                _milliseconds(one["next_change"]),
                one["next_status"],
            )
            for one in get("market-status/", {})["segments"]
        ]


def option_chain_path(underlying: str) -> str:
    """Return the address of an option chain."""
    return _address(underlying, "option-chain")


def _address(symbol: str, what: str) -> str:
    return f"instruments/{quote(symbol, safe='')}/{what}/"


def _range(since: Time | None, until: Time | None) -> dict[str, str | int | None]:
    return {"from": time_text(since), "to": time_text(until), "rows": "objects"}


def _check_known(page: Any, rows: Sequence[Any], symbol: str) -> None:
    if not rows and page.get("known") is False:
        message = "neither the instrument master nor a publisher has it"
        raise SymbolError(message, 404, symbol, page.get("suggestions", ()))


def _milliseconds(text: str | None) -> int | None:
    if text is None:
        return None
    return round(datetime.fromisoformat(text).astimezone(UTC).timestamp() * 1000)
