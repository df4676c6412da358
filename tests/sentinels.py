"""A master, a replica and a Sentinel as processes of a test, on ports of their own.

The Sentinel requires a password, and the URL logs in at the master as a user of its own, so every
test goes the way of a deployment with both. A fail-over takes about a second.
"""

import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from tests.ports import free_port
from tests.valkey import ValkeyProcess
from tests.waiting import wait_until

MASTER = "prices"
USER = ("--user", "server", "on", ">hush", "~*", "&*", "+@all")
SENTINEL_PASSWORD = "hush-too"

CONFIG = """\
port {port}
bind 127.0.0.1
requirepass {password}
user server on >{password} -@all +sentinel|get-master-addr-by-name
sentinel monitor {master} 127.0.0.1 {master_port} 1
sentinel down-after-milliseconds {master} 1000
sentinel failover-timeout {master} 3000
"""


class SentinelProcess(ValkeyProcess):
    """A Sentinel that watches the server at a port."""

    def __init__(self, port: int, master_port: int) -> None:
        super().__init__(port)
        self.master_port = master_port

    def client(self) -> Any:
        return Redis(port=self.port, password=SENTINEL_PASSWORD, socket_timeout=1)

    def answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except RedisError:
            return False

    def start(self) -> None:
        """Start it unless it runs, and wait until it answers."""
        if self.process is None or self.process.poll() is not None:
            folder = Path(self.folder.name)
            text = CONFIG.format(
                port=self.port,
                password=SENTINEL_PASSWORD,
                master=MASTER,
                master_port=self.master_port,
            )
            (folder / "sentinel.conf").write_text(text)
            command = [self.program, str(folder / "sentinel.conf"), "--sentinel"]
            with (folder / "log").open("ab") as log:
                self.process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_until(self.answers)

    def master(self) -> tuple[str, int]:
        """Return the address of the master that it names."""
        with self.client() as client:
            host, port = client.sentinel_get_master_addr_by_name(MASTER)
        return host, port


class SentinelGroup:
    """Two servers, one of them the master, and a Sentinel.

    Attributes:
        url: the Sentinel URL of the master. A Sentinel that never answers is named first.
    """

    def __init__(self) -> None:
        first, second = free_port(), free_port()
        options = (*USER, "--repl-diskless-sync-delay", "0")
        self.servers = {
            first: ValkeyProcess(first, *options),
            second: ValkeyProcess(second, *options, "--replicaof", "127.0.0.1", str(first)),
        }
        self.sentinel = SentinelProcess(free_port(), first)
        self.url = (
            f"redis+sentinel://server:hush@127.0.0.1:{free_port()},127.0.0.1:{self.sentinel.port}"
            f"/{MASTER}?db=0&sentinel_username=server&sentinel_password={SENTINEL_PASSWORD}"
        )

    def __enter__(self) -> "SentinelGroup":
        for server in self.servers.values():
            server.start()
        wait_until(self.is_replicated)
        self.sentinel.start()
        wait_until(self._knows_replica)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in (self.sentinel, *self.servers.values()):
            process.resume()
            process.__exit__(kind, error, trace)

    @property
    def master(self) -> ValkeyProcess:
        """The server that the Sentinel names."""
        return self.servers[self.sentinel.master()[1]]

    @property
    def replica(self) -> ValkeyProcess:
        """The server that the Sentinel does not name."""
        master = self.master
        return next(one for one in self.servers.values() if one is not master)

    def is_replicated(self) -> bool:
        """Return whether a server has all that its master has."""
        for server in self.servers.values():
            with Redis(port=server.port, socket_timeout=1) as client:
                info = client.info("replication")
            replica = info.get("slave0")
            if info["role"] == "master" and replica is not None:
                return bool(
                    replica["state"] == "online" and replica["offset"] == info["master_repl_offset"]
                )
        return False

    def cut_replication(self) -> None:
        """Let the replica fall behind: it cannot log in at the master any more."""
        with Redis(port=self.replica.port, socket_timeout=1) as client:
            client.config_set("masteruser", "nobody", "masterauth", "wrong")
            client.client_kill_filter(_type="master")

    def restore_replication(self) -> None:
        """Let both servers replicate from the other again."""
        for server in self.servers.values():
            if server.answers():
                with Redis(port=server.port, socket_timeout=1) as client:
                    client.config_set("masteruser", "", "masterauth", "")

    def _knows_replica(self) -> bool:
        with self.sentinel.client() as client:
            return len(client.sentinel_slaves(MASTER)) == 1

    def wait_for_fail_over(self, old: ValkeyProcess) -> ValkeyProcess:
        """Return the new master once the Sentinel names it and it takes writes."""

        def is_over() -> bool:
            if self.sentinel.master()[1] == old.port:
                return False
            with Redis(port=self.master.port, socket_timeout=1) as client:
                return bool(client.info("replication")["role"] == "master")

        wait_until(is_over)
        return self.master
