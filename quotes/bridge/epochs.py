"""Numbering: when a bridge continues the numbers in Redis, and when it begins a new epoch.

A number (epoch, seq) is given once. After a restart or a fail-over Redis may hold older data than
was published: continuing there would give numbers again, and clients would take the new ticks for
repetitions. So a bridge begins new epochs when Redis is another server process than before, unless
this bridge wrote last and finds everything that it wrote.

At a replica that was promoted it always does: the old master may go on for a while, cut off from
everybody else, with a bridge on its side that takes the lease there and gives the next numbers. The
id of a server's replication tells them apart: a master gets a new one when it is promoted, so it is
another also for a server that was master, replica and master again.
"""

import logging
from collections.abc import Mapping
from typing import NamedTuple

import hiredis

from quotes.bridge.flush import Flush
from quotes.bridge.market import Market
from quotes.bridge.tick_order import Stream
from quotes.runtime.redis_link import RedisLink
from quotes.store.latest import SCAN_COUNT, LatestPrice, encode_latest, scan_latest
from quotes.store.memory import set_value
from quotes.store.names import own_key
from quotes.store.tick_log import mark_lost_end

logger = logging.getLogger(__name__)


class Numbering:
    """The numbering of one shard, over all sessions of a bridge.

    Attributes:
        is_current: whether this bridge wrote last, as far as it knows; set by the bridge.
    """

    def __init__(self, shard: int) -> None:
        self.is_current = False
        self._shard = shard
        self._run_key = own_key(f"run:{shard}")
        self._master_key = own_key(f"master:{shard}")
        self._master = ""  # the identity of the master of the last session

    async def restore(self, link: RedisLink, market: Market, flush: Flush) -> None:
        """Give a market the streams in Redis; with new epochs if Redis may have lost numbers.

        Raises:
            RedisDown, hiredis.ReplyError: Redis cannot be read or written now.
        """
        master = await _read_master(link)
        before = self._master if self.is_current else await self._stored(link, master)
        is_same = not master.identity or before in ("", master.identity)
        is_promoted = not is_same and master.was_replica
        records = dict(await scan_latest(link))
        if self.is_current and market.streams and not records and not is_promoted:
            # Redis came back empty: everything is written again, and numbers continue.
            await _write(flush, records_of(market.streams))
        elif is_same or (
            self.is_current and not is_promoted and not has_lost_numbers(records, market.streams)
        ):
            market.restore(records.items())
        else:
            logger.warning("Redis may hold older data than was published: all numbers start over")
            market.restart(records.items())
            await _write(flush, records_of(market.streams))
            if is_promoted:
                await mark_lost_end(link, self._shard)
        if master.identity:
            await set_value(link, self._run_key, master.run_id)
            await set_value(link, self._master_key, master.identity)
        self._master = master.identity

    async def _stored(self, link: RedisLink, master: "_Master") -> str:
        """Return the identity of the master that a bridge last worked with; "" for none.

        Release 0.1.0 stores and reads the id of its process alone.
        """
        run_id, identity = (
            bytes(one or b"").decode(errors="replace")
            for one in await link.command("MGET", self._run_key, self._master_key)
        )
        if identity.partition(":")[0] == run_id:
            return identity
        return master.identity if run_id == master.run_id else run_id


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


class _Master(NamedTuple):
    """What a master says of itself.

    Attributes:
        run_id: of the process; "" if it is not told.
        identity: of the process, and of its time as master; "" if it is not told.
        was_replica: whether it was promoted, or restarted from the file of one that was.
    """

    run_id: str = ""
    identity: str = ""
    was_replica: bool = False


async def _read_master(link: RedisLink) -> _Master:
    """Return what the server behind a link says of itself."""
    found: dict[str, str] = {}
    try:
        for section in ("server", "replication"):
            reply = await link.command("INFO", section)
            text = reply.decode() if isinstance(reply, bytes) else str(reply)
            found |= {
                name: value.strip()
                for name, mark, value in (line.partition(":") for line in text.splitlines())
                if mark
            }
    except hiredis.ReplyError as error:
        if "NOPERM" not in str(error):
            raise
        logger.warning("the Redis user may not run INFO, so a Redis with older data is not noticed")
        return _Master()
    if not (run_id := found.get("run_id", "")):
        return _Master()
    return _Master(
        run_id,
        f"{run_id}:{found.get('master_replid', '')}",
        # Zeros: it was never a replica.
        was_replica=bool(found.get("master_replid2", "").strip("0")),
    )
