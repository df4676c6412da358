"""Numbering: when a bridge continues the numbers in Redis, and when it begins a new epoch.

A number (epoch, seq) is given once. After a restart or a fail-over Redis may hold older data than
was published: continuing there would give numbers again, and clients would take the new ticks for
repetitions. So a bridge begins new epochs when Redis is another server process than before, unless
this bridge wrote last and finds everything that it wrote.
"""

import logging
from collections.abc import Mapping

import hiredis

from quotes.bridge.flush import Flush
from quotes.bridge.market import Market
from quotes.bridge.tick_order import Stream
from quotes.runtime.redis_link import RedisLink
from quotes.store.latest import SCAN_COUNT, LatestPrice, encode_latest, scan_latest
from quotes.store.memory import set_value
from quotes.store.names import own_key

logger = logging.getLogger(__name__)


class Numbering:
    """The numbering of one shard, over all sessions of a bridge.

    Attributes:
        is_current: whether this bridge wrote last, as far as it knows; set by the bridge.
    """

    def __init__(self, shard: int) -> None:
        self.is_current = False
        self._run_key = own_key(f"run:{shard}")
        self._run_id = ""  # of the Redis process of the last session

    async def restore(self, link: RedisLink, market: Market, flush: Flush) -> None:
        """Give a market the streams in Redis; with new epochs if Redis may have lost numbers.

        Raises:
            RedisDown, hiredis.ReplyError: Redis cannot be read or written now.
        """
        run_id = await _run_id(link)
        stored = await link.command("GET", self._run_key)
        before = self._run_id if self.is_current else bytes(stored or b"").decode(errors="replace")
        records = dict(await scan_latest(link))
        if self.is_current and market.streams and not records:
            # Redis came back empty: everything is written again, and numbers continue.
            await _write(flush, records_of(market.streams))
        elif (
            not run_id
            or before in ("", run_id)
            or (self.is_current and not has_lost_numbers(records, market.streams))
        ):
            market.restore(records.items())
        else:
            logger.warning("Redis may hold older data than was published: all numbers start over")
            market.restart(records.items())
            await _write(flush, records_of(market.streams))
        if run_id:
            await set_value(link, self._run_key, run_id)
        self._run_id = run_id


def has_lost_numbers(records: Mapping[str, LatestPrice], streams: Mapping[str, Stream]) -> bool:
    """Return whether a record in Redis is older than what the bridge has numbered."""
    for field, stream in streams.items():
        if not stream.frame:
            continue  # nothing of it was shown: it has history alone
        record = records.get(field)
        if record is None or (record.epoch, record.seq) < (stream.epoch, stream.seq):
            return True
    return False


def records_of(streams: Mapping[str, Stream]) -> dict[str, LatestPrice]:
    """Return the latest price of each stream that has one."""
    return {field: one.latest for field, one in streams.items() if one.frame}


async def _write(flush: Flush, latest: Mapping[str, LatestPrice]) -> None:
    fields = list(latest)
    for at in range(0, len(fields), SCAN_COUNT):
        chunk = fields[at : at + SCAN_COUNT]
        await flush.write_records({field: encode_latest(latest[field]) for field in chunk})


async def _run_id(link: RedisLink) -> str:
    """Return the id that a Redis process gives itself when it starts; "" if it is not told."""
    try:
        reply = await link.command("INFO", "server")
    except hiredis.ReplyError as error:
        if "NOPERM" not in str(error):
            raise
        logger.warning("the Redis user may not run INFO, so a Redis with older data is not noticed")
        return ""
    text = reply.decode() if isinstance(reply, bytes) else str(reply)
    for line in text.splitlines():
        if line.startswith("run_id:"):
            return line.partition(":")[2].strip()
    return ""
