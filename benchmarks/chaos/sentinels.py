"""The same service with a Redis that fails over: a master, a replica, and three Sentinels.

    publishers, bridges, recorders, web servers ---> Sentinels: which is the master?
                                          \\--------> the master ---> the replica

There is no proxy before Redis: Sentinels name the servers themselves.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from benchmarks.chaos.deployment import PROBE_S, Deployment, Service
from benchmarks.processes import accepts, free_port
from quotes.store.connections import open_pool

MASTER = "prices"
SENTINELS = 3
DOWN_AFTER_MS = 1500

SENTINEL_CONFIG = """\
port {port}
bind 127.0.0.1
sentinel monitor {master} 127.0.0.1 {master_port} 2
sentinel down-after-milliseconds {master} {down_after_ms}
sentinel failover-timeout {master} 3000
sentinel parallel-syncs {master} 1
"""


class SentinelDeployment(Deployment):
    """The service with Sentinel; `redis` is the server that was the master first.

    Attributes:
        url: the Sentinel URL of the master.
    """

    def __init__(self, folder: Path, **options: Any) -> None:
        super().__init__(folder, has_proxies=False, **options)
        self.replica_port = free_port()
        self.replica_folder = folder / "redis-2"
        self.sentinel_ports = [free_port() for _ in range(SENTINELS)]
        named = ",".join(f"127.0.0.1:{port}" for port in self.sentinel_ports)
        self.url = f"redis+sentinel://{named}/{MASTER}?db=0"
        self.client.close()
        self.client = redis.Redis.from_pool(
            open_pool(
                self.url,
                socket_timeout=PROBE_S,
                socket_connect_timeout=PROBE_S,
                retry=Retry(NoBackoff(), 0),
            )
        )

    def environment(self, redis_port: int) -> dict[str, str]:
        return super().environment(redis_port) | {"REDIS_URL": self.url}

    async def start_redis_first(self) -> None:
        """Start master, replica and Sentinels; return when all know each other."""
        await super().start_redis_first()
        self.replica_folder.mkdir()
        at = {str(self.redis_port): str(self.replica_port)}
        at[str(self.redis_folder)] = str(self.replica_folder)
        command = [at.get(part, part) for part in self.redis_command()]
        command += ["--replicaof", "127.0.0.1", str(self.redis_port)]
        self.add_service("redis 2", command)
        await self.until(self.is_replicated, "the replica has what the master has")
        for number, port in enumerate(self.sentinel_ports, 1):
            config = self.folder / f"sentinel-{number}.conf"
            values = {"port": port, "master": MASTER, "master_port": self.redis_port}
            config.write_text(SENTINEL_CONFIG.format(**values, down_after_ms=DOWN_AFTER_MS))
            command = [self.redis_program, str(config), "--sentinel"]
            self.add_service(f"sentinel {number}", command)
            await self.until(lambda port=port: accepts(port), "a Sentinel answers")  # type: ignore[misc]
        await self.until(self._is_watched, "all Sentinels know each other and the replica")

    def add_service(self, name: str, command: list[str]) -> None:
        """Start a process that is no part of the price server."""
        self.services[name] = Service(name, command, self.log_of(name), {})
        self.services[name].start()

    # -- who is the master ------------------------------------------------------------------------

    @property
    def servers(self) -> dict[int, Service]:
        """Port -> server, the master or not."""
        return {self.redis_port: self.redis, self.replica_port: self.services["redis 2"]}

    def direct(self, port: int) -> redis.Redis:
        """Return a client of one server, whatever it is."""
        return redis.Redis(port=port, socket_timeout=PROBE_S, socket_connect_timeout=PROBE_S)

    def master_port(self) -> int:
        """Return the port of the master that most Sentinels name, 0 if they do not agree."""
        named: dict[int, int] = {}
        for port in self.sentinel_ports:
            try:
                with self.direct(port) as client:
                    found: Any = client.sentinel_get_master_addr_by_name(MASTER)
            except redis.RedisError:
                continue
            if found:
                named[found[1]] = named.get(found[1], 0) + 1
        return next((port for port, count in named.items() if count > SENTINELS // 2), 0)

    def is_replicated(self) -> bool:
        """Return whether both servers work and one has all that the other has."""
        for port in self.servers:
            try:
                with self.direct(port) as client:
                    info: Mapping[str, Any] = client.info("replication")
            except redis.RedisError:
                return False
            replica = info.get("slave0")
            if info["role"] == "master" and replica is not None:
                return bool(
                    replica["state"] == "online"
                    and info["master_repl_offset"] - replica["offset"] < 65536
                )
        return False

    def _is_watched(self) -> bool:
        for port in self.sentinel_ports:
            try:
                with self.direct(port) as client:
                    state: Any = client.sentinel_masters()[MASTER]
            except redis.RedisError:
                return False
            others, replicas = state["num-other-sentinels"], state["num-slaves"]
            if (others, replicas) != (SENTINELS - 1, 1):
                return False
        return True

    async def until_replicated(self) -> int:
        """Return the port of the master once the other server replicates from it."""
        ready = "a replica has what the master has"
        await self.until(lambda: self.is_replicated() and self.master_port() > 0, ready)
        return self.master_port()

    async def until_failed_over(self, old_port: int) -> None:
        """Return once most Sentinels name another master and it takes writes."""

        def is_over() -> bool:
            port = self.master_port()
            if port in (0, old_port):
                return False
            with self.direct(port) as client:
                return bool(client.info("replication")["role"] == "master")

        await self.until(is_over, "Sentinel makes the replica the master")
