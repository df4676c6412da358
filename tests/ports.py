"""Free ports for servers that tests start."""

import os
import random
import socket

# Below the ports that the system gives to clients: none of these is taken before it is used.
# Of several processes of one run (pytest-xdist) each has its own.
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_PORTS = range(10_000 + _WORKER % _WORKERS, 30_000, _WORKERS)
_dice = random.SystemRandom()


def free_port() -> int:
    """Return a port of the loopback address that nobody uses now."""
    while True:
        port = _dice.choice(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
