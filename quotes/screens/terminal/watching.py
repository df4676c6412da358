"""Watches prices until it is ended: as a table, as lines, or as JSON lines."""

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any, TextIO

from live_price import (
    Conflated,
    FeedChange,
    History,
    PriceClient,
    PriceError,
    Recovered,
    StateChange,
    Subscribed,
    SymbolError,
    Tick,
)
from rich.console import Console
from rich.live import Live

from quotes.screens.terminal.table import line, render
from quotes.screens.terminal.watch_list import POINTS, WatchList

_REFRESH_S = 0.25
_OF_CLIENT: tuple[type, ...] = (StateChange, FeedChange, Conflated)
_OF_SUBSCRIPTION: tuple[type, ...] = (Tick, History, Subscribed, SymbolError, Recovered, Conflated)


@dataclass(frozen=True)
class Wanted:
    """What to watch, and how.

    Attributes:
        count: prices after which to end; 0: never.
    """

    url: str
    names: Sequence[str]
    token: str | None = None
    segment: str = ""
    as_json: bool = False
    count: int = 0


class _Lines:
    """Writes a line for each price; whatever is no price goes to standard error.

    Attributes:
        is_closed: whether nobody reads the lines any more, as after `| head`.
    """

    def __init__(self, wanted: Wanted, watched: WatchList, output: TextIO) -> None:
        self._wanted = wanted
        self._watched = watched
        self._output = output
        self.is_closed = False
        self._has_trouble = False

    def take(self, event: Any) -> None:
        if isinstance(event, Tick):
            text = _json(event) if self._wanted.as_json else line(self._watched.rows[event.name])
            self._write(text)
        elif isinstance(event, SymbolError):
            self._say(str(event))
        elif isinstance(event, Subscribed) and not event.known:
            self._say(f"{event.name}: {self._watched.rows[event.name].note}")
        elif isinstance(event, StateChange | FeedChange):
            self._say_state()
        elif isinstance(event, Recovered) and not event.recovered:
            self._say(self._watched.problem)

    def _say_state(self) -> None:
        """Report trouble and its end; the command reports why a client is closed."""
        watched = self._watched
        if watched.state not in ("open", "waiting"):
            return
        is_trouble = watched.state == "waiting" or watched.feed == "down"
        if is_trouble or self._has_trouble:
            self._say(watched.status())
        self._has_trouble = is_trouble

    def _write(self, text: str) -> None:
        if self.is_closed:
            return
        try:
            self._output.write(text + "\n")
            self._output.flush()
        except (BrokenPipeError, ValueError):
            self.is_closed = True

    @staticmethod
    def _say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)


def _json(tick: Tick[Decimal]) -> str:
    """Return a price with the keys of the protocol, and the name by which it was requested."""
    values: dict[str, Any] = {"name": tick.name, "symbol": tick.symbol, "price": tick.price}
    for name in ("timestamp", "segment", "volume", "oi", "open", "high", "low", "prev_close"):
        values[name] = getattr(tick, name)
    for name in ("change", "change_pct", "bid", "ask"):
        values[name] = getattr(tick, name)
    values |= tick.extra
    if tick.depth is not None:
        values["depth"] = asdict(tick.depth)
    texts = [
        f"{json.dumps(name)}:{_text(value)}"
        for name, value in values.items()
        if value not in (None, "")
    ]
    return f"{{{','.join(texts)}}}"


def _text(value: Any) -> str:
    """Return JSON in which a decimal keeps its digits."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, dict):
        return f"{{{','.join(f'{json.dumps(name)}:{_text(one)}' for name, one in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_text, value))}]"
    return json.dumps(value, ensure_ascii=False, default=str)


async def watch(wanted: Wanted, output: TextIO) -> int:
    """Watch prices until SIGINT or SIGTERM, or until nobody reads them.

    Returns:
        How many prices came.

    Raises:
        PriceError: the server does not want the client, or refuses every symbol.
    """
    watched = WatchList(wanted.names)
    console = Console(file=output)
    is_table = output.isatty() and not console.is_dumb_terminal and not wanted.as_json
    lines = None if is_table else _Lines(wanted, watched, output)
    count = 0
    end = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end.set)

    def take(event: Any) -> None:
        nonlocal count
        if end.is_set():
            return
        watched.take(event)
        if lines is not None:
            lines.take(event)
        if isinstance(event, Tick):
            count += 1
        is_over = isinstance(event, StateChange) and event.state == "closed"
        if is_over or (wanted.count and count >= wanted.count):
            end.set()
        if lines is not None and lines.is_closed:
            end.set()

    client = PriceClient(wanted.url, token=wanted.token, exact=True)
    for kind in _OF_CLIENT:
        client.on(kind, take)
    try:
        async with client as prices:
            subscription = prices.subscribe(
                wanted.names,
                mode=None if wanted.as_json else "quote",
                history=POINTS if is_table else 0,
                segment=wanted.segment,
            )
            for kind in _OF_SUBSCRIPTION:
                subscription.on(kind, take)
            if is_table:
                await _show(watched, prices, console, end)
            else:
                while not end.is_set() and not _is_refused(subscription):
                    await _pause(end)
            error = await _problem(prices, subscription)
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
    if error is not None:
        raise error
    return count


def _is_refused(subscription: Any) -> bool:
    return len(subscription.rejected) == len(subscription.names)


async def _pause(end: asyncio.Event) -> None:
    """Wait for a moment, or the end."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_REFRESH_S):
            await end.wait()


async def _problem(prices: PriceClient[Decimal], subscription: Any) -> PriceError | None:
    """Return why there is nothing to watch; None if there was."""
    if prices.state == "closed":
        try:
            await prices.ready()
        except PriceError as error:
            return error
    if _is_refused(subscription):
        return next(iter(subscription.rejected.values()), None)
    return None


async def _show(
    watched: WatchList, prices: PriceClient[Decimal], console: Console, end: asyncio.Event
) -> None:
    """Show the table, and keep it up to date."""
    with Live(render(watched, console), console=console, auto_refresh=False) as live:
        while not end.is_set():
            if prices.state == "open" and prices.clock_offset_ms is None:
                with contextlib.suppress(PriceError):
                    await prices.ping()
            watched.clock_offset_ms = prices.clock_offset_ms or 0.0
            live.update(render(watched, console), refresh=True)
            await _pause(end)
        live.update(render(watched, console), refresh=True)
