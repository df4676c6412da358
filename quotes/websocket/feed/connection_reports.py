"""How a web process answers operators who look at its connections, or close one.

Reports are made when an operator asks, in time slices; see `store/connection_reports.py`.
"""

import asyncio
import contextlib
import heapq
import logging
import os
from collections.abc import Callable, Collection
from typing import NamedTuple, Protocol

import hiredis
import msgspec
from django.conf import settings

from quotes.layer.any_layer import Layer
from quotes.runtime.background import BackgroundTasks
from quotes.runtime.redis_link import PublishedMessages, RedisDown, RedisLink
from quotes.runtime.time_slices import Steps, TimeSlices, chunks
from quotes.runtime.warnings import RateLimitedWarnings
from quotes.store.connection_reports import (
    MAX_TOP_SYMBOLS,
    ConnectionQuery,
    ConnectionRow,
    ProcessReport,
    answer_commands,
    decode_query,
    most_interesting,
    requests_channel,
)
from quotes.store.group_names import key_of_price_group
from quotes.store.redis_clock import MACHINE, redis_clock

logger = logging.getLogger(__name__)
_warn = RateLimitedWarnings(logger)

# Rates are those since the last report, if that was made at least and at most this time ago; else
# those since the start.
_LEAST_INTERVAL_S = 1.0
_MOST_INTERVAL_S = 60.0
_RETRY_S = 1.0
# Requests that are answered at a time; others are dropped: an operator's page asks again.
_MAX_ANSWERS = 4
# Sessions, or groups, that one step takes: well under a millisecond.
_STEP = 50


class ReportedClient(Protocol):
    """A client's session, as far as operators see it. Nothing here waits."""

    @property
    def written_bytes(self) -> int:
        """How many bytes were written to the client, as far as its transport counts them."""

    def report(self) -> ConnectionRow:
        """Return what operators see of the connection."""

    def is_subscribed_to(self, field: str) -> bool:
        """Return whether the client gets prices or candles of an instrument."""

    def close_by_operator(self) -> None:
        """Close the connection; the client may come back."""


class Totals(NamedTuple):
    """Counters of a process since its start.

    Attributes:
        sent_bytes: those written to clients that are no more, or to all.
    """

    prices: int = 0
    messages: int = 0
    sent_bytes: int = 0


class Rates:
    """What comes in and goes out in a second, from counters that are read when somebody asks."""

    def __init__(self, now: float) -> None:
        self._began_at = self._read_at = now
        self._totals = Totals()
        self._per_s = (0.0, 0.0, 0.0)

    def take(self, now: float, totals: Totals) -> tuple[float, float, float]:
        """Return the rates; those before if they are younger than the least interval."""
        since, before = self._read_at, self._totals
        if now - since < _LEAST_INTERVAL_S:
            return self._per_s
        if now - since > _MOST_INTERVAL_S:
            since, before = self._began_at, Totals()
        prices, messages, sent = (
            max(0, b - a) / (now - since) for a, b in zip(before, totals, strict=True)
        )
        self._read_at, self._totals, self._per_s = now, totals, (prices, messages, sent)
        return self._per_s


class ConnectionReports:
    """Takes operators' requests from Redis and answers them; `run` until it is cancelled.

    Args:
        process: the name of this process.
        clients: all connected clients.
        totals: returns the counters, with the bytes of clients that are no more.
        failed_clients: returns how many clients could not be served.
    """

    def __init__(
        self,
        *,
        process: str,
        clients: Callable[[], Collection[ReportedClient]],
        totals: Callable[[], Totals],
        failed_clients: Callable[[], int],
        layer: Layer,
        slices: TimeSlices,
        tasks: BackgroundTasks,
    ) -> None:
        self._process = process
        self._clients = clients
        self._totals = totals
        self._failed_clients = failed_clients
        self._layer = layer
        self._slices = slices
        self._tasks = tasks
        self._loop = asyncio.get_running_loop()
        self._began_at = redis_clock.now_ms()
        self._link: RedisLink | None = None
        self._under_way = 0
        self._rates = Rates(self._loop.time())

    async def run(self) -> None:
        """Answer requests; while Redis is down, try to reach it again."""
        while True:
            lost = asyncio.Event()
            with contextlib.suppress(RedisDown):
                self._link = await RedisLink.connect(
                    settings.REDIS_URL, on_messages=self._take, on_lost=lost.set
                )
                try:
                    await self._link.subscribe(requests_channel())
                    await lost.wait()
                finally:
                    self._link.close()
            await asyncio.sleep(_RETRY_S)

    def _take(self, messages: PublishedMessages) -> None:
        for _, payload in messages:
            try:
                query = decode_query(payload)
            except msgspec.MsgspecError as error:
                _warn("dropped an operator's request that cannot be read", str(error))
                continue
            if self._under_way < _MAX_ANSWERS:
                self._under_way += 1
                self._tasks.attempt(
                    "answering an operator",
                    lambda query=query: self._answer(query),  # type: ignore[misc]
                    expected=(RedisDown,),
                )

    async def _answer(self, query: ConnectionQuery) -> None:
        try:
            report = await self._slices.run(self.report(query))
        finally:
            self._under_way -= 1
        link = self._link
        if link is not None:
            for reply in link.pipeline(answer_commands(query.id, report), wanted=(0,)):
                with contextlib.suppress(hiredis.ReplyError):
                    await reply

    def report(self, query: ConnectionQuery) -> Steps[ProcessReport]:
        """Return the answer to a request; close the connection that it names, if it is here."""
        clients, totals = list(self._clients()), self._totals()
        rows: list[ConnectionRow] = []
        matching, slow, sent, closed = 0, 0, totals.sent_bytes, False
        for chunk in chunks(clients, _STEP):
            for client in chunk:
                row = client.report()
                slow += row.is_slow
                sent += client.written_bytes
                if query.close and row.id == query.connection:
                    client.close_by_operator()
                    closed = True
                if query.matches(row) and (
                    not query.symbol or client.is_subscribed_to(query.symbol)
                ):
                    matching += 1
                    rows.append(row)
            rows = most_interesting(rows, query.limit)
            yield
        top_symbols = (yield from self._top_symbols()) if query.limit else []
        totals = totals._replace(sent_bytes=sent)
        prices_per_s, messages_per_s, bytes_per_s = self._rates.take(self._loop.time(), totals)
        return ProcessReport(
            self._process,
            machine=MACHINE,
            pid=os.getpid(),
            began_at=self._began_at,
            connections=len(clients),
            matching=matching,
            slow=slow,
            rows=rows,
            top_symbols=top_symbols,
            prices_per_s=round(prices_per_s, 1),
            messages_per_s=round(messages_per_s, 1),
            bytes_per_s=round(bytes_per_s),
            failed_clients=self._failed_clients(),
            closed=closed,
        )

    def _top_symbols(self) -> Steps[list[tuple[str, int]]]:
        """Return the instruments with the most subscribers here, where the layer knows them."""
        counts: list[tuple[int, str]] = []
        for chunk in chunks(self._layer.local_topic_groups(), 40 * _STEP):
            sizes = self._layer.group_sizes(chunk)
            counts = heapq.nlargest(MAX_TOP_SYMBOLS, [*counts, *zip(sizes, chunk, strict=True)])
            yield
        return [(str(key_of_price_group(group)), size) for size, group in counts]
