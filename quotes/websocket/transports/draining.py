"""Draining: how a web process that ends lets go of its clients, spread over QUOTES_DRAIN_S.

A server adapter calls `begin` when it has stopped accepting. Each client is told after how many
milliseconds to connect again, each at another time, so that they do not all come at once. At its
time it is sent what is due to it and closed with 1012. What is still there when the time is over is
cut off.
"""

import asyncio
import logging
import random
import signal
import threading
from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from quotes.conf import conf

logger = logging.getLogger(__name__)

# Of the time, the share over which clients are spread, and within which a client that was told
# comes back by itself before it is closed. The rest is for their last frames.
_SPREAD_SHARE = 0.8
_GRACE_SHARE = 0.1
_MAX_GRACE_S = 0.5
_CHECK_INTERVAL_S = 0.02
# Clients told in one turn of the event loop.
_CLIENTS_A_TURN = 200
# For the close frames, after a second signal.
_HURRY_S = 0.1


class DrainingClient(Protocol):
    """A client's session, as far as its end is concerned. Nothing here waits.

    One whose call raises is ended by `fail`; the others are drained all the same.
    """

    def announce_restart(self, after_ms: int) -> None:
        """Tell the client to connect again after this time."""

    def close_for_restart(self) -> None:
        """Send what is due and close; may be called when the client is gone."""

    def fail(self, error: Exception) -> None:
        """End the client because of an error; may be called twice."""


class Drain:
    """The drain of one event loop; it begins at most once.

    Attributes:
        clients: returns the clients that are connected now.
        has_begun: from then on no new client is served here.
        is_over: whether all clients are gone, or the time is over.
    """

    def __init__(self) -> None:
        self.clients: Callable[[], Collection[DrainingClient]] = tuple
        self.has_begun = self.is_over = False
        self._closing: dict[DrainingClient, asyncio.TimerHandle] = {}
        self._on_end: list[Callable[[], None]] = []
        self._cut_off: list[Callable[[], None]] = []
        self._force: Callable[[], None] = lambda: None
        self._handlers: dict[signal.Signals, Any] = {}  # those before ours
        self._task: asyncio.Task[None] | None = None

    def begin(self, *, force: Callable[[], None] = lambda: None) -> None:
        """Let go of all clients; returns at once, and does nothing the second time.

        The next SIGTERM or SIGINT then closes all clients at once.

        Args:
            force: called after that; it ends the server, whatever is under way.
        """
        if self.has_begun:
            return
        self.has_begun = True
        self._force = force
        self._loop = asyncio.get_running_loop()
        self._deadline = self._loop.time() + conf.drain_time_s
        self._listen()
        if clients := len(self.clients()):
            logger.info("stopping, %d clients connect again", clients)
            self._task = self._loop.create_task(self._run())
        else:
            self._end()

    def when_over(self, call: Callable[[], None]) -> None:
        """Have a function called once the clients are gone; at once if they are."""
        if self.is_over:
            call()
        else:
            self._on_end.append(call)

    def cut_off_late(self, call: Callable[[], None]) -> None:
        """Have a connection ended by this function if it is still there when the time is over."""
        self._cut_off.append(call)

    async def finished(self) -> None:
        """Return once it is over; call it after `begin`."""
        if self._task is not None:
            await asyncio.shield(self._task)

    async def _run(self) -> None:
        loop, told = self._loop, set[DrainingClient]()
        try:
            while (clients := set(self.clients())) and loop.time() < self._deadline:
                if new := [one for one in clients if one not in told]:
                    told.update(new)
                    await self._announce(new)
                await asyncio.sleep(_CHECK_INTERVAL_S)
            for client in clients:
                self._close(client)
        except Exception:
            logger.exception("clients could not be told to connect again")
        self._end()

    async def _announce(self, clients: Iterable[DrainingClient]) -> None:
        """Tell clients when to come back, spread over the time that is left."""
        order = list(clients)
        random.shuffle(order)
        left_s = max(0.0, self._deadline - self._loop.time())
        step_s = left_s * _SPREAD_SHARE / len(order)
        grace_s = min(left_s * _GRACE_SHARE, _MAX_GRACE_S)
        begun_at = self._loop.time()
        for at, client in enumerate(order):
            after_s = (at + random.random()) * step_s  # noqa: S311  no secret
            _isolated(client, partial(client.announce_restart, round(after_s * 1000)))
            when = begun_at + after_s + grace_s
            self._closing[client] = self._loop.call_at(when, self._close, client)
            if not (at + 1) % _CLIENTS_A_TURN:
                await asyncio.sleep(0)

    def _close(self, client: DrainingClient) -> None:
        if (timer := self._closing.pop(client, None)) is not None:
            timer.cancel()
        _isolated(client, client.close_for_restart)

    def _end(self) -> None:
        for timer in self._closing.values():
            timer.cancel()
        self._closing.clear()
        self.is_over = True
        # Servers end connections that have taken their last frames.
        left_s = max(_HURRY_S, self._deadline - self._loop.time())
        self._loop.call_later(left_s, self._cut_off_rest)
        calls, self._on_end = self._on_end, []
        for call in calls:
            call()

    def _cut_off_rest(self) -> None:
        for call in self._cut_off:
            call()
        while self._handlers:
            signal.signal(*self._handlers.popitem())

    # -- a second signal ------------------------------------------------------------------------

    def _listen(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            self._handlers[number] = signal.signal(number, self._hurry)

    def _hurry(self, number: int, frame: Any) -> None:
        self._loop.call_soon_threadsafe(self._close_all)

    def _close_all(self) -> None:
        self._deadline = min(self._deadline, self._loop.time())
        self._loop.call_later(_HURRY_S, self._cut_off_rest)
        self._loop.call_later(_HURRY_S, self._force)


def _isolated(client: DrainingClient, call: Callable[[], None]) -> None:
    """Call a method of a client; end the client if that fails."""
    try:
        call()
    except Exception as error:
        try:
            client.fail(error)
        except Exception:
            logger.exception("a client that failed could not be ended either")


_drains: WeakKeyDictionary[asyncio.AbstractEventLoop, Drain] = WeakKeyDictionary()


def current_drain() -> Drain:
    """Return the drain of the running event loop."""
    loop = asyncio.get_running_loop()
    drain = _drains.get(loop)
    if drain is None:
        drain = _drains[loop] = Drain()
    return drain


def is_draining() -> bool:
    """Return whether this process lets go of its clients; from any thread."""
    return any(drain.has_begun for drain in list(_drains.values()))
