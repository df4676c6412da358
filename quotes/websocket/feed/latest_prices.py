"""The latest prices: read for the clients that subscribe, and again when ticks were missed."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from itertools import islice

import msgspec
import redis.asyncio
from redis.exceptions import RedisError

from instruments.keys import InstrumentKey
from quotes.layer.any_layer import Layer
from quotes.layer.lanes import Message
from quotes.runtime.background import BackgroundTasks
from quotes.runtime.time_slices import chunks
from quotes.store.group_names import price_group
from quotes.store.latest import LatestPrice, PriceSnapshot, Wanted, aread_snapshot
from quotes.store.names import own_key
from quotes.store.request_clients import RequestRedis
from quotes.websocket.delivery.price_message import PROVISIONAL, PriceMessage
from quotes.websocket.feed.delivered import ProvisionalPrices, is_tick, position_of
from quotes.websocket.feed.first_prices import FirstPriceReader, FirstPrices
from quotes.websocket.feed.named_instruments import NamedInstrument

# Reading latest prices later: for how long a page of them, and the pause before another try.
_REFRESH_TIMEOUT_S = 10.0
_REFRESH_PAUSE_S = 0.25
_PAGE = 200  # instruments that are read in one round trip, and decoded in one go


def latest_message(field: str, latest: LatestPrice) -> PriceMessage:
    """Return the group message of a latest price."""
    return PriceMessage(field, latest.epoch, latest.seq, latest.timestamp, latest.frame)


class LatestPrices:
    """Reads the latest prices, and sends the clients of one event loop those that are news.

    Args:
        client: for what no client waits for; `requests` is for what one does.
        tasks: run the reading; it ends with them.
        on_numbered: called with a numbered tick whose price was shown before.

    Attributes:
        first: reads the prices of instruments that are new to this process.
    """

    def __init__(
        self,
        layer: Layer,
        client: redis.asyncio.Redis,
        requests: RequestRedis,
        tasks: BackgroundTasks,
        *,
        on_numbered: Callable[[PriceMessage], None],
    ) -> None:
        self._layer = layer
        self._client = client
        self._requests = requests
        self._tasks = tasks
        self._on_numbered = on_numbered
        # instruments whose first price is still to be read for a subscriber
        self._unread: dict[InstrumentKey, Wanted] = {}
        self._reading: asyncio.Task[None] | None = None
        self._provisional = ProvisionalPrices(self._read_again)
        self.first = FirstPriceReader(self._read_first, tasks)

    async def snapshot(
        self, wanted: Sequence[Wanted], until: float | None = None
    ) -> PriceSnapshot | None:
        """Return the latest prices, and have the bridge number new ones.

        Args:
            until: the loop time up to which the caller waits; by default QUOTES_REDIS_TIMEOUT_S.

        Returns:
            None if Redis does not answer in time: members of their groups here are sent the prices
            when it does.
        """
        try:
            async with self._requests.answer(until) as client:
                return await self._read_latest(wanted, client)
        except (RedisError, OSError):
            self._read_later(wanted)
            return None

    async def _read_latest(
        self, wanted: Sequence[Wanted], client: redis.asyncio.Redis
    ) -> PriceSnapshot:
        snapshot = await aread_snapshot(wanted, client=client)
        if snapshot.bridge_up and snapshot.names:
            request = msgspec.json.encode({"adopt": snapshot.names})
            await client.publish(own_key("control"), request)
        return snapshot

    def _read_later(self, wanted: Sequence[Wanted]) -> None:
        """Have prices read, and sent to the members of their groups here, when Redis answers."""
        if not self._layer.is_direct:
            return  # its members are not known here
        self._unread.update({one.key: one for one in wanted})
        groups = self._layer.state.groups
        if len(self._unread) > 2 * len(groups) + _PAGE:  # most of their subscribers have left
            self._unread = {
                key: one for key, one in self._unread.items() if price_group(key) in groups
            }
        if self._reading is None or self._reading.done():
            self._reading = self._tasks.complete("reading first prices", self._read_unread)

    def _read_again(self, field: str) -> None:
        """Have the latest price of an instrument read: the order of two prices is not clear."""
        self._read_later([Wanted(InstrumentKey.parse(field), field)])

    async def _read_unread(self) -> None:
        while self._unread:
            await asyncio.sleep(_REFRESH_PAUSE_S)
            some = list(islice(self._unread.values(), _PAGE))
            with contextlib.suppress(RedisError, OSError):
                async with asyncio.timeout(_REFRESH_TIMEOUT_S):
                    snapshot = await self._read_latest(some, self._client)
                for one in some:
                    self._unread.pop(one.key, None)
                self._send_missed(some, snapshot)

    def _send_missed(self, wanted: Sequence[Wanted], snapshot: PriceSnapshot) -> None:
        """Send all clients here those of the latest prices that are news."""
        entries = []
        for field, latest in snapshot.latest.items():
            group = price_group(InstrumentKey.parse(field))
            was_withheld = self._provisional.settle(field, latest.timestamp, latest.frame)
            if was_withheld or self._is_news(group, latest):
                entries.append((group, latest_message(field, latest)))
        self._layer.deliver_local(entries)
        if not snapshot.bridge_up:
            for one in wanted:
                if (ahead := snapshot.ahead.get(str(one.key))) is not None:
                    self.show_provisionally(one.key, ahead)

    async def _read_first(
        self, wanted: Sequence[NamedInstrument], until: float | None
    ) -> FirstPrices | None:
        """Read the latest prices of instruments whose groups have no message here yet.

        Where the layer can, their groups are sent them: who has waited for them holds them. A group
        to which a tick has come meanwhile gets all later ones too, so it needs none: the price that
        was read would overtake those that are on their way.
        """
        some = [Wanted(one.key, one.name) for one in wanted]
        snapshot = await self.snapshot(some, until)
        if snapshot is None:
            return None
        if self._layer.is_direct:
            delivered = self._layer.delivered_messages([one.group for one in wanted])
            for one, message in zip(wanted, delivered, strict=True):
                if message is not None and is_tick(message):
                    snapshot.latest.pop(one.field, None)
        self._send_missed(some, snapshot)
        if self._layer.is_direct:
            return FirstPrices({})
        latest = snapshot.latest.items()
        return FirstPrices({field: latest_message(field, one) for field, one in latest})

    def show_provisionally(self, key: InstrumentKey, latest: LatestPrice) -> None:
        """Send all clients here a price that no bridge has numbered yet, once.

        One that is older than what they were given is no news: Redis came back with older data.
        """
        message = latest_message(str(key), latest)
        message.kind = PROVISIONAL
        last = self._layer.newest_message(price_group(key))
        if isinstance(last, PriceMessage) and last.frame == message.frame:
            return  # another client read it at the same time, and all were sent it
        given = self._layer.delivered_message(price_group(key))
        if isinstance(given, PriceMessage) and given.timestamp > latest.timestamp:
            return
        self._provisional.add(str(key), message.frame, latest.timestamp)
        self._layer.withhold(self._withheld)
        self._layer.deliver_local([(price_group(key), message)])

    def _withheld(self, message: Message) -> bool:
        """Return whether clients were shown a price; those that were not are sent it."""
        repeat = False
        if self._provisional.is_repeat(message):
            repeat = True
            self._on_numbered(message)
        if self._provisional.is_empty:
            self._layer.withhold(None)
        return repeat

    def _is_news(self, group: str, latest: LatestPrice) -> bool:
        """Return whether a latest price comes after the newest tick that all clients here got.

        Redis may have come back with older data, under a new epoch.
        """
        message = self._layer.delivered_message(group)
        if not isinstance(message, PriceMessage):
            return True
        return (
            position_of(message) < (latest.epoch, latest.seq)
            and message.timestamp <= latest.timestamp
        )

    async def read_missed(self) -> None:
        """Read the latest prices of all groups here, and send what is news.

        Raises:
            redis.RedisError, OSError: Redis does not answer.
        """
        fields = list(self._layer.local_topics() or ())
        for some in chunks(fields, _PAGE):
            wanted = [Wanted(InstrumentKey.parse(field), field) for field in some]
            async with asyncio.timeout(_REFRESH_TIMEOUT_S):
                snapshot = await self._read_latest(wanted, self._client)
            self._send_missed(wanted, snapshot)
