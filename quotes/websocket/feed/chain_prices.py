"""Prices of underlyings, for clients whose option chains lie around the money.

They are read once a second for all clients of a process, apart from the way of a tick.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Protocol

import redis.asyncio
from redis.exceptions import RedisError

from instruments.keys import InstrumentKey
from quotes.conf import conf
from quotes.runtime.background import BackgroundTasks
from quotes.runtime.time_slices import chunks
from quotes.store.latest import LatestPrice, Wanted, aread_snapshot

_EVERY_S = 1.0
_PAGE = 200  # instruments that are read in one round trip

Prices = Mapping[InstrumentKey, LatestPrice]


class ChainFollower(Protocol):
    """A client's session that has chains around the money."""

    def chain_sources(self) -> set[InstrumentKey]:
        """Return the instruments whose prices may move its chains."""

    def chains_move(self, prices: Prices) -> bool:
        """Note the prices; return whether `follow_chains` is to be called."""

    async def follow_chains(self) -> None:
        """Move the chains whose money is at another strike."""


class ChainPrices:
    """Reads the prices of underlyings, and has sessions follow them.

    Args:
        client: of Redis.
        tasks: run what sessions do; one that is under way is not begun again.
        on_failure: called with a session and the error that it raised.

    Attributes:
        followers: the sessions that have chains.
    """

    def __init__(
        self,
        client: redis.asyncio.Redis,
        tasks: BackgroundTasks,
        on_failure: Callable[[ChainFollower, Exception], None],
    ) -> None:
        self.followers: set[ChainFollower] = set()
        self._client = client
        self._tasks = tasks
        self._on_failure = on_failure
        self._moving: set[ChainFollower] = set()

    async def keep_reading(self) -> None:
        """Read once a second while there are followers; runs until it is cancelled."""
        while True:
            await asyncio.sleep(_EVERY_S)
            if self.followers:
                with contextlib.suppress(RedisError, OSError):
                    self.follow(await self._read())

    async def _read(self) -> dict[InstrumentKey, LatestPrice]:
        keys = {key for one in list(self.followers) for key in one.chain_sources()}
        found: dict[InstrumentKey, LatestPrice] = {}
        for some in chunks(sorted(keys, key=str), _PAGE):
            found.update(await self._read_page(some))
        return found

    async def _read_page(self, keys: Sequence[InstrumentKey]) -> dict[InstrumentKey, LatestPrice]:
        wanted = [Wanted(key, key.symbol) for key in keys]
        async with asyncio.timeout(conf.feed_timeout_s):
            snapshot = await aread_snapshot(wanted, client=self._client)
        return {key: latest for key in keys if (latest := snapshot.newest(key))}

    def follow(self, prices: Prices) -> None:
        """Have the sessions follow whose chains move by these prices."""
        for one in list(self.followers):
            try:
                moves = one not in self._moving and one.chains_move(prices)
            except Exception as error:
                self._on_failure(one, error)
                continue
            if moves:
                self._moving.add(one)
                self._tasks.attempt("moving option chains", partial(self._move, one))

    async def _move(self, one: ChainFollower) -> None:
        try:
            await one.follow_chains()
        except Exception as error:
            self._on_failure(one, error)
        finally:
            self._moving.discard(one)
