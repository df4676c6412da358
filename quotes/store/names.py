"""Names of keys and channels in Redis, and the page of what is kept there.

    stock:SYMBOL     string   written by publishers: the last tick as they sent it
    stock:SYMBOL     channel  every tick as publishers sent it
    quotes:latest    hash     instrument key -> record of its latest price, written by the bridge
    quotes:shards    string   how many bridges share the market; missing: one
    quotes:lease:1   string   token of the bridge that works on shard 1
    quotes:status:1  string   JSON of that bridge's counters; the key expires when the bridge dies
    quotes:run:1     string   run_id of the Redis that the bridge of shard 1 last worked with
    quotes:master:1  string   the same, and the id of its replication: another after a promotion
    quotes:control   channel  requests to the bridge: {"adopt": [names]} reads publishers' keys
    quotes:handover:1  channel  how a bridge that stops hands over, see `bridge/handover.py`
    quotes:log:1 ... stream   every accepted tick of shard 1, see `tick_log.py`
    quotes:inbox ... stream   ticks that wait for a bridge, see `inbox.py`
    quotes:recorder:lease     string  token of the recorder that works
    quotes:recorder:status    string  JSON of its counters; the key expires when it dies

`stock:` is QUOTES_CHANNEL_PREFIX, `quotes:` is QUOTES_KEY_PREFIX. Access, Kafka and the channel
layer keep keys of their own, which their modules name.
"""

from quotes.conf import conf


def stock_key(name: str) -> str:
    """Return the key and channel under which publishers put the prices of a name."""
    return conf.channel_prefix + name


def own_key(name: str) -> str:
    """Return the server's own key or channel of a name such as `latest` or `control`."""
    return conf.key_prefix + name


def lease_key(shard: int) -> str:
    """Return the key of a shard's lease."""
    return own_key(f"lease:{shard}")


def status_keys(shards: int) -> list[str]:
    """Return the keys of the bridges' counters, in the order of the shards."""
    return [own_key(f"status:{shard}") for shard in range(1, shards + 1)]
