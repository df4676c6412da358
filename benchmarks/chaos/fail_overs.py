"""Faults of a Redis with Sentinel: the master goes in several ways, and comes back.

Each ends when Sentinels have decided on another master: from then on the seconds until prices are
back are counted. Replication does not wait for the replica, so what a master acknowledged last may
be lost with it.
"""

import asyncio
from collections.abc import AsyncIterator

from benchmarks.chaos.deployment import Deployment
from benchmarks.chaos.faults import fault
from benchmarks.chaos.promises import NOTHING, REDIS_LOST
from benchmarks.chaos.sentinels import MASTER, SentinelDeployment

LAG_S = 1.5
# What is put in has happened when a trial begins to count: this is only long enough for a tick.
DECIDED_S = 0.2
# The old master goes on as a replica, and passes prices on: connections move within two seconds.
MOVE_S = 3.0


def sentinels(service: Deployment) -> SentinelDeployment:
    assert isinstance(service, SentinelDeployment)
    return service


def cut_replication(service: SentinelDeployment, replica_port: int) -> None:
    """Let a replica fall behind: it cannot log in at the master any more."""
    with service.direct(replica_port) as client:
        client.config_set("masteruser", "nobody", "masterauth", "wrong")
        client.client_kill_filter(_type="master")


def restore_replication(service: SentinelDeployment, port: int) -> None:
    with service.direct(port) as client:
        client.config_set("masteruser", "", "masterauth", "")


@fault(
    "master-kill",
    "Sentinel: the master killed; it comes back as a replica",
    DECIDED_S,
    REDIS_LOST,
    needs_sentinels=True,
)
async def master_kill(service: Deployment) -> AsyncIterator[None]:
    group = sentinels(service)
    port = await group.until_replicated()
    group.servers[port].stop()
    await group.until_failed_over(port)
    yield
    group.servers[port].start()


@fault(
    "master-freeze",
    "Sentinel: the master frozen (SIGSTOP), replaced, and thawed",
    DECIDED_S,
    REDIS_LOST,
    needs_sentinels=True,
)
async def master_freeze(service: Deployment) -> AsyncIterator[None]:
    group = sentinels(service)
    port = await group.until_replicated()
    group.servers[port].freeze()
    await group.until_failed_over(port)
    yield
    group.servers[port].thaw()


@fault(
    "master-lag",
    f"Sentinel: the master killed; the replica lacks the last {LAG_S:g} s",
    DECIDED_S,
    REDIS_LOST,
    needs_sentinels=True,
)
async def master_lag(service: Deployment) -> AsyncIterator[None]:
    group = sentinels(service)
    port = await group.until_replicated()
    replica = next(one for one in group.servers if one != port)
    cut_replication(group, replica)
    await asyncio.sleep(LAG_S)
    group.servers[port].stop()
    await group.until_failed_over(port)
    restore_replication(group, replica)
    yield
    group.servers[port].start()


@fault(
    "master-bridges-kill",
    "Sentinel: the master and both bridges killed",
    DECIDED_S,
    REDIS_LOST,
    needs_sentinels=True,
)
async def master_bridges_kill(service: Deployment) -> AsyncIterator[None]:
    group = sentinels(service)
    port = await group.until_replicated()
    for bridge in group.bridges:
        bridge.stop()
    group.servers[port].stop()
    for bridge in group.bridges:
        bridge.start()
    await group.until_failed_over(port)
    yield
    group.servers[port].start()


@fault(
    "master-switch",
    "Sentinel: an operator lets it fail over (SENTINEL FAILOVER)",
    MOVE_S,
    REDIS_LOST,
    needs_sentinels=True,
)
async def master_switch(service: Deployment) -> AsyncIterator[None]:
    group = sentinels(service)
    port = await group.until_replicated()
    with group.direct(group.sentinel_ports[0]) as client:
        client.execute_command("SENTINEL", "FAILOVER", MASTER)
    await group.until_failed_over(port)
    yield


@fault(
    "sentinel-kill",
    "Sentinel: one of three killed",
    1,
    NOTHING,
    needs_sentinels=True,
)
async def sentinel_kill(service: Deployment) -> AsyncIterator[None]:
    one = service.services["sentinel 1"]
    one.stop()
    yield
    one.start()
