"""What Redis alone has: latest prices, publishers' keys, positions in Kafka, and the log's end.

The rest is made again by the processes: leases, statuses, connections, fields of the day. Numbers
are not continued: a restored price is the last of a new epoch, so that none is given twice.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

import redis

from instruments.errors import BadSymbol
from instruments.keys import InstrumentKey
from quotes.backup.folder import Backup, NewBackup
from quotes.backup.manifest import PRICES
from quotes.kafka.stored_offsets import positions_key
from quotes.runtime.clock import DAY_MS
from quotes.store.first_seen import seen_key
from quotes.store.latest import SCAN_COUNT, LatestPrice, encode_latest, find_latest
from quotes.store.names import lease_key, own_key, stock_key
from quotes.store.shards import shard_count
from quotes.store.tick_log import count_key, log_key
from quotes.ticks import MAX_TICK_BYTES

LATEST, PUBLISHED, KAFKA, LOG, LOGS = (
    f"{PRICES}/{name}" for name in ("latest", "published", "kafka", "log", "logs")
)
_LOG_PAGE = 8  # entries, of up to some hundred KB
_SEEN_MS = 7 * DAY_MS
_UNREADABLE = "\ufffd"  # in place of bytes that are no text
# Of hashes below `kafka:`, those that are no positions.
_KAFKA_OTHERS = frozenset({"producers", "consumers"})
# What a restore replaces, after the prefix of own keys.
_REPLACED = (
    *("latest", "day", "log:*", "seen:*", "inbox*", "kafka:*", "shards"),
    *("lease:*", "run:*", "master:*"),
)


class LogEnd(NamedTuple):
    """The end of a shard's log at the moment of a backup.

    Attributes:
        taken: how many ticks the log has taken in all.
        last: the id of its last entry; "" without entries.
    """

    shard: int
    taken: int
    last: str


class RedisState(NamedTuple):
    """What must be of one moment; the rest is read after it."""

    logs: list[LogEnd]
    kafka: dict[str, dict[bytes, bytes]]  # group -> its hash


def read_state(client: redis.Redis) -> RedisState:
    """Read the logs' ends and Kafka's positions in one step; raise redis.RedisError."""
    shards = range(1, shard_count(client) + 1)
    groups = list(_kafka_groups(client))
    pipeline = client.pipeline(transaction=True)
    for shard in shards:
        pipeline.get(count_key(shard))
        pipeline.xrevrange(log_key(shard), count=1)
    for group in groups:
        pipeline.hgetall(positions_key(group))
    replies: list[Any] = pipeline.execute()
    logs = []
    for at, shard in enumerate(shards):
        entries = replies[2 * at + 1]
        last = entries[0][0].decode() if entries else ""
        logs.append(LogEnd(shard, int(replies[2 * at] or 0), last))
    return RedisState(logs, dict(zip(groups, replies[2 * len(shards) :], strict=True)))


def write_published(backup: NewBackup, client: redis.Redis) -> None:
    """Write publishers' keys; raise redis.RedisError.

    Call it before `read_state`: a key that is newer than the latest price is shown again.
    """
    backup.add_rows(PUBLISHED, _published_rows(client))


def write_prices(backup: NewBackup, client: redis.Redis, state: RedisState) -> None:
    """Write latest prices, and what was read as of one moment; raise redis.RedisError."""
    backup.add_rows(LATEST, _latest_rows(client))
    backup.add_rows(
        KAFKA,
        (
            (group, name, value)
            for group, fields in state.kafka.items()
            for name, value in fields.items()
        ),
    )
    backup.add_rows(LOGS, state.logs)


def write_log_end(
    backup: NewBackup, client: redis.Redis, state: RedisState, read: Mapping[int, str]
) -> None:
    """Write the entries of the logs that history does not have yet; raise redis.RedisError.

    Args:
        read: shard -> the id of the last entry in history.
    """
    backup.add_rows(LOG, _log_rows(client, state, read))


def _latest_rows(client: redis.Redis) -> Iterator[tuple[Any, ...]]:
    for name, record in client.hscan_iter(own_key("latest"), count=SCAN_COUNT):
        field = name.decode(errors="replace")
        latest = find_latest(field, record)
        if latest is not None and _is_text(latest.frame):
            yield field, latest.epoch, latest.seq, latest.timestamp, latest.frame.decode()


def _published_rows(client: redis.Redis) -> Iterator[tuple[Any, ...]]:
    """Yield name, value, and first-seen record of publishers' keys that do not expire."""
    prefix = stock_key("")
    keys = client.scan_iter(match=f"{_escaped(prefix)}*", count=SCAN_COUNT, _type="string")
    while chunk := list(islice(keys, SCAN_COUNT)):
        names = [key.decode(errors="replace").removeprefix(prefix) for key in chunk]
        pipeline = client.pipeline(transaction=False)
        pipeline.mget(chunk)
        pipeline.mget([seen_key(name) for name in names])
        for key in chunk:
            pipeline.pttl(key)
        values, seen, *expiries = pipeline.execute()
        for name, value, at, expires in zip(names, values, seen, expiries, strict=True):
            if value is None or expires != -1 or len(value) > MAX_TICK_BYTES:
                continue
            if _is_text(value) and _UNREADABLE not in name:
                yield name, value.decode(), None if at is None else at.decode()


def _log_rows(
    client: redis.Redis, state: RedisState, read: Mapping[int, str]
) -> Iterator[tuple[Any, ...]]:
    for end in state.logs:
        after = read.get(end.shard, "0-0")
        while end.last:
            page: Any = client.xrange(log_key(end.shard), f"({after}", end.last, count=_LOG_PAGE)
            for id, fields in page:
                after = id.decode()
                yield end.shard, after, list(fields.items())
            if len(page) < _LOG_PAGE:
                break


def _kafka_groups(client: redis.Redis) -> Iterator[str]:
    prefix = positions_key("")
    for key in client.scan_iter(match=f"{_escaped(prefix)}*", _type="hash"):
        group = key.decode(errors="replace").removeprefix(prefix)
        if group not in _KAFKA_OTHERS:
            yield group


def _is_text(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _escaped(prefix: str) -> str:
    """Return a prefix as part of a pattern of SCAN."""
    return "".join(f"\\{one}" if one in "*?[]\\^" else one for one in prefix)


# -- restoring -------------------------------------------------------------------------------------


def working_processes(client: redis.Redis) -> list[str]:
    """Return which bridges and recorders work on a Redis, by their leases."""
    shards = range(1, shard_count(client) + 1)
    leases = {f"bridge {shard}": lease_key(shard) for shard in shards}
    leases["a recorder"] = own_key("recorder:lease")
    return [name for name, key in leases.items() if client.exists(key)]


def filled_keys(client: redis.Redis) -> dict[str, int]:
    """Return how much of what a restore writes is in a Redis already."""
    counts = {
        "latest prices": client.hlen(own_key("latest")),
        "logged ticks": sum(
            int(client.get(count_key(shard)) or 0) for shard in range(1, shard_count(client) + 1)
        ),
    }
    return {name: int(count) for name, count in counts.items() if count}


def clear_keys(client: redis.Redis) -> None:
    """Delete what `restore_prices` writes, and what it would contradict; not publishers' keys."""
    prefix = _escaped(own_key(""))
    for pattern in _REPLACED:
        found = client.scan_iter(match=prefix + pattern, count=SCAN_COUNT)
        while chunk := list(islice(found, SCAN_COUNT)):
            client.unlink(*chunk)


class RestoredPrices(NamedTuple):
    """Counts of a restore."""

    latest: int
    published: int


def restore_prices(backup: Backup, client: redis.Redis, *, now_ms: int) -> RestoredPrices:
    """Write the prices of a backup; raise redis.RedisError.

    Args:
        now_ms: by Redis's clock.
    """
    newest = max((row[1] for row in backup.rows(LATEST, _LatestRow)), default=0)
    epoch = max(now_ms, newest + 1)
    latest = published = 0
    for chunk in _chunks(backup.rows(LATEST, _LatestRow)):
        records = {}
        for field, _, _, timestamp, frame in chunk:
            key = _key_text(field)
            if key is not None:
                records[key] = encode_latest(LatestPrice(epoch, 0, timestamp, frame.encode()))
        if records:
            client.hset(own_key("latest"), mapping=records)  # type: ignore[arg-type]
        latest += len(records)
    for chunk in _chunks(backup.rows(PUBLISHED, _PublishedRow)):
        pipeline = client.pipeline(transaction=False)
        for name, value, seen in chunk:
            pipeline.set(stock_key(name), value)
            if seen is not None:
                pipeline.set(seen_key(name), seen, px=_SEEN_MS)
        pipeline.execute()
        published += len(chunk)
    for group, name, value in backup.rows(KAFKA, tuple[str, bytes, bytes]):
        client.hset(positions_key(group), name, value)
    logs = list(log_ends(backup))
    if logs:
        client.set(own_key("shards"), len(logs))
    return RestoredPrices(latest, published)


def restore_log_end(backup: Backup, client: redis.Redis) -> None:
    """Write the logs' ends, which the recorder stores then; raise redis.RedisError."""
    for end in log_ends(backup):
        client.set(count_key(end.shard), end.taken)
    for shard, id, fields in backup.rows(LOG, tuple[int, str, list[tuple[bytes, bytes]]]):
        client.xadd(log_key(shard), dict(fields), id=id)


def log_ends(backup: Backup) -> Iterator[LogEnd]:
    """Yield the logs' ends at the moment of a backup."""
    for row in backup.rows(LOGS, tuple[int, int, str]):
        yield LogEnd(*row)


_LatestRow = tuple[str, int, int, int, str]
_PublishedRow = tuple[str, str, str | None]


def _key_text(field: str) -> str | None:
    try:
        return str(InstrumentKey.parse(field))
    except BadSymbol:
        return None


def _chunks(rows: Iterable[Any]) -> Iterator[list[Any]]:
    iterator = iter(rows)
    while chunk := list(islice(iterator, SCAN_COUNT)):
        yield chunk
