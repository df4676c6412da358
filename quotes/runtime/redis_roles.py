"""Which kind of server answers: prices need the master of a Redis that is no cluster.

The reply to HELLO says it, which every connection is sent at its beginning anyway.
"""

from collections.abc import Mapping
from typing import Any

# What a server answers to a write that it does not take because it is no master, or not one that
# may go on alone (min-replicas-to-write).
_DEMOTED = ("READONLY ", "MASTERDOWN ", "NOREPLICAS ")

SENTINEL = (
    "is a Sentinel, not Redis: write redis+sentinel://HOST:PORT,HOST:PORT/MASTER, with all "
    "Sentinels and the master's name"
)
CLUSTER = (
    "is a node of a Redis Cluster, which is not supported: write the URL of a Redis with "
    "cluster-enabled no"
)
REPLICA = (
    "is a replica: write the URL of its master, or redis+sentinel://HOST:PORT,HOST:PORT/MASTER if "
    "Sentinel may change which one that is"
)


def role_problem(hello: Mapping[Any, Any] | None) -> str:
    """Return what is wrong with a server by its reply to HELLO, and the cure; "" for nothing."""
    if not isinstance(hello, Mapping):
        return ""
    mode, role = _text(hello, "mode"), _text(hello, "role")
    if mode == "sentinel":
        return SENTINEL
    if mode == "cluster":
        return CLUSTER
    return REPLICA if role in ("replica", "slave") else ""


def is_demoted(error: Exception) -> bool:
    """Return whether an error reply means that the master is another server, or will be."""
    text = str(error)
    # Before Redis 7 the error of a script has this inside of its text, behind a minus sign.
    return text.startswith(_DEMOTED) or any(f"-{one}" in text for one in _DEMOTED)


def _text(hello: Mapping[Any, Any], name: str) -> str:
    value = hello.get(name.encode(), hello.get(name, b""))
    return value.decode() if isinstance(value, bytes) else str(value)
