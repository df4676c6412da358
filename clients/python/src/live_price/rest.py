"""The REST API for asyncio; `live_price.sync` has the same without it."""

import asyncio
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, Generic, Literal, TypeVar, overload

from live_price.history_pages import LatestPrices, Pages, Time, option_chain_path
from live_price.http_api import HttpApi, Parameters
from live_price.reading import Reader
from live_price.rows import Rows
from live_price.tokens import Token, TokenSource
from live_price.values import Candle, MarketStatus, N, Tick

R = TypeVar("R")


class RestClient(Generic[N]):
    """Latest prices, instruments and history over HTTP.

        rest = RestClient("http://localhost:5000")
        candles = await rest.candles("RELIANCE", interval="1d", since="2026-01-01")
        frame = candles.to_pandas()

    Errors are PriceError with the HTTP status as `code`: AuthenticationError for 401, SymbolError
    for a name that nobody has, ConnectionLost without an answer. Where the server asks to come back
    later (429, 503) it is asked up to four times.

    Args:
        url: `http://host:5000`; the WebSocket's address works too.
        token: an access token or an API key, or a function that returns one.
        exact: numbers are `Decimal` with the published digits, not `float`.
    """

    @overload
    def __init__(
        self: "RestClient[float]",
        url: str,
        *,
        token: Token = None,
        exact: Literal[False] = False,
        timeout_s: float = 30.0,
    ) -> None: ...

    @overload
    def __init__(
        self: "RestClient[Decimal]",
        url: str,
        *,
        token: Token = None,
        exact: Literal[True],
        timeout_s: float = 30.0,
    ) -> None: ...

    def __init__(
        self, url: str, *, token: Token = None, exact: bool = False, timeout_s: float = 30.0
    ) -> None:
        reader: Reader[N] = Reader(exact=exact)
        self._pages = Pages(reader)
        self._tokens = TokenSource(token)
        self._api = HttpApi(url, timeout_s=timeout_s, parse_float=Decimal if exact else None)

    async def get(self, path: str, **parameters: str | int | None) -> Any:
        """Return the JSON of any address below `/api/`."""
        return await self._run(lambda get: get(path, parameters))

    async def prices(self, symbols: str | Iterable[str]) -> LatestPrices[N]:
        """Return the latest prices of up to 1,000 symbols."""
        return await self._run(lambda get: self._pages.latest(get, symbols))

    async def instruments(self, **parameters: str | int | None) -> Rows[dict[str, Any]]:
        """Return all instruments that match, by `search`, `segment`, `type`, `expiry` and so on."""
        return await self._run(lambda get: Rows(self._pages.instruments(get, parameters)))

    async def option_chain(
        self, underlying: str, *, expiry: str | None = None, segment: str | None = None
    ) -> dict[str, Any]:
        """Return the options of an underlying by strike, with latest prices."""
        path = option_chain_path(underlying)
        found = await self._run(lambda get: get(path, {"expiry": expiry, "segment": segment}))
        return dict(found)

    async def candles(
        self, symbol: str, *, interval: str, since: Time | None = None, until: Time | None = None
    ) -> Rows[Candle[N]]:
        """Return all candles that start in a range, page after page; default: today.

        Args:
            interval: `1m`, `3m`, `5m`, `10m`, `15m`, `30m`, `60m`, `1d`, `1w` or `1M`.
            since: Unix milliseconds, a date, a datetime or ISO 8601, in India without an offset.
            until: the end, which is excluded; a date is a whole day.
        """
        return await self._run(
            lambda get: Rows(self._pages.candles(get, symbol, interval, since, until))
        )

    async def ticks(
        self, symbol: str, *, since: Time | None = None, until: Time | None = None
    ) -> Rows[Tick[N]]:
        """Return all ticks of a range, page after page; `extra["shown"]` is false for late ones."""
        return await self._run(lambda get: Rows(self._pages.ticks(get, symbol, since, until)))

    async def market_status(self) -> list[MarketStatus]:
        """Return the status of each segment."""
        return await self._run(self._pages.market_status)

    async def login(self, username: str, password: str) -> dict[str, str]:
        """Return an access and a refresh token: `{"access": ..., "refresh": ...}`."""
        body = {"username": username, "password": password}
        found = await asyncio.to_thread(self._api.post, "token/", body, None)
        return dict(found)

    async def _run(self, work: Callable[[Callable[[str, Parameters], Any]], R]) -> R:
        """Do blocking work in a thread, with the token of now."""
        token = await self._tokens.get()
        return await asyncio.to_thread(
            work, lambda path, parameters: self._api.get(path, parameters, token)
        )
