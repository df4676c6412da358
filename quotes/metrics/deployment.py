"""What is read of Redis and the disks for the whole deployment, in a thread of its own.

The process that answers scrapes reads it every few seconds with a deadline, and scrapes get what
was read last: they never wait for Redis, and are answered while it is down.
"""

import logging
import threading
import time
from typing import Any

import msgspec
import redis

from quotes.conf import conf
from quotes.kafka.conf import conf as kafka_conf
from quotes.kafka.status import consumer_statuses
from quotes.metrics.samples import Sample, Samples
from quotes.runtime.disk_space import free_bytes
from quotes.runtime.warnings import RateLimitedWarnings
from quotes.store.clients import probing_client
from quotes.store.inbox import unread
from quotes.store.memory import RedisMemory
from quotes.store.names import own_key
from quotes.store.redis_clock import redis_clock
from quotes.store.shards import idle_shards, shard_count
from quotes.store.tick_log import count_key, log_key

logger = logging.getLogger(__name__)
_warn = RateLimitedWarnings(logger)

_EVERY_S = 5.0


class DeploymentReader:
    """Reads the state of the deployment every five seconds, from `start` to `stop`."""

    def __init__(self, every_s: float = _EVERY_S) -> None:
        self._every_s = every_s
        self._stopping = threading.Event()
        self._read: list[Sample] = []
        self._thread = threading.Thread(target=self._run, name="metrics: Redis", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()

    def samples(self) -> list[Sample]:
        """Return what was read last, and the state of the disks; this does not wait."""
        samples = Samples()
        for folder, free in free_bytes().items():
            samples.add("quotes_disk_free_bytes", free, str(folder))
        samples.add("quotes_disk_free_limit_bytes", conf.min_free_disk_bytes)
        return self._read + samples.taken

    def _run(self) -> None:
        while not self._stopping.is_set():
            samples = Samples()
            try:
                try:
                    self._read_redis(samples)
                    samples.add("quotes_redis_up", 1)
                except redis.RedisError:
                    samples = Samples()
                    samples.add("quotes_redis_up", 0)
                samples.add("quotes_redis_read_timestamp_seconds", time.time())
                self._read = samples.taken
            except Exception as error:
                _warn("metrics of Redis", "could not be read", error=error)
            self._stopping.wait(self._every_s)

    def _read_redis(self, samples: Samples) -> None:
        """Read Redis; raise redis.RedisError if it does not answer."""
        client = probing_client()
        client.ping()
        redis_clock.measure_if_due(client)
        self._read_server(client, samples)
        shards = shard_count(client)
        samples.add("quotes_shards", shards)
        samples.add("quotes_idle_shards", len(idle_shards(client)))
        status: Any = client.get(own_key("recorder:status"))
        samples.add("quotes_recorder_active", int(status is not None))
        if status is not None:
            try:
                behind = int(msgspec.json.decode(status).get("behind", 0))
            except (msgspec.MsgspecError, TypeError, ValueError, AttributeError):
                behind = None
            samples.add("quotes_recorder_status_lag_ticks", behind)
        for shard in range(1, shards + 1):
            self._read_log(client, samples, shard)
        samples.add("quotes_inbox_ticks", unread(client))
        if kafka_conf.bootstrap_servers and kafka_conf.topic_list:
            samples.add("quotes_kafka_consumers_active", len(consumer_statuses(client)))

    def _read_server(self, client: redis.Redis, samples: Samples) -> None:
        try:
            info: Any = client.info("memory")
            clients: Any = client.info("clients")
        except redis.ResponseError:
            return  # the user may not run INFO
        memory = RedisMemory.from_info(info)
        samples.add("quotes_redis_memory_used_bytes", memory.used)
        samples.add("quotes_redis_memory_limit_bytes", memory.limit)
        samples.add("quotes_redis_evicts", int(memory.evicts))
        samples.add("quotes_redis_clients", clients.get("connected_clients"))

    def _read_log(self, client: redis.Redis, samples: Samples, shard: int) -> None:
        name = str(shard)
        pipeline = client.pipeline(transaction=False)
        pipeline.xlen(log_key(shard))
        pipeline.get(count_key(shard))
        pipeline.xrange(log_key(shard), "-", "+", count=1)
        entries, count, first = pipeline.execute(raise_on_error=False)
        if any(isinstance(one, Exception) for one in (entries, count, first)):
            return
        samples.add("quotes_log_entries", entries, name)
        samples.add("quotes_log_ticks_total", int(count or 0), name)
        if first:
            at_ms = int(first[0][0].partition(b"-")[0])
            samples.add("quotes_log_oldest_timestamp_seconds", at_ms / 1000, name)
