"""The faults: how each is put in, how long it lasts, how it ends, and what it may cost."""

import asyncio
import random
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    closing,
    contextmanager,
)
from dataclasses import dataclass

from benchmarks.chaos.deployment import Deployment, Service
from benchmarks.chaos.promises import BRIDGE, LANES, NOTHING, REDIS, REDIS_LOST, Promise
from benchmarks.chaos.proxy import Mode, Proxy
from benchmarks.chaos.settings import BRIDGE_LEASE_S, RECORDER_LEASE_S
from benchmarks.processes import accepts
from quotes.bridge.handover import handover_channel

# As the supervisor of `manage.py serve` waits before it starts a process again.
RESTART_S = 1.0
LATENCY_S = 0.05
STALL_S = 5.0
HALF_OPEN_S = 10.0
CUT_S = 2.0
LOAD_S = 5.0
FULL_S = 5.0
FILLER_BYTES = 1 << 20

Inject = Callable[[Deployment], AbstractAsyncContextManager[None]]
Steps = Callable[[Deployment], AsyncIterator[None]]


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        inject: a context: entering puts the fault in, leaving ends it.
        lasts_s: seconds between the two.
        promise: what it may cost.
        needs_sentinels: whether it is put into a `SentinelDeployment`.
    """

    name: str
    title: str
    lasts_s: float
    promise: Promise
    inject: Inject
    needs_sentinels: bool = False


FAULTS: dict[str, Fault] = {}


def fault(
    name: str, title: str, lasts_s: float, promise: Promise, *, needs_sentinels: bool = False
) -> Callable[[Steps], Steps]:
    """Enter a fault: what comes before its `yield` puts it in, what comes after ends it."""

    def enter(steps: Steps) -> Steps:
        inject = asynccontextmanager(steps)
        FAULTS[name] = Fault(name, title, lasts_s, promise, inject, needs_sentinels)
        return steps

    return enter


@fault("nothing", "nothing", 2, NOTHING)
async def nothing(service: Deployment) -> AsyncIterator[None]:
    yield


# -- Redis ----------------------------------------------------------------------------------------


@fault("redis-kill", "Redis killed; it comes back with all data", 2, REDIS)
async def redis_kill(service: Deployment) -> AsyncIterator[None]:
    service.redis.stop()
    yield
    await service.start_redis()


@fault("redis-empty", "Redis killed; it comes back empty", 2, REDIS_LOST)
async def redis_empty(service: Deployment) -> AsyncIterator[None]:
    service.redis.stop()
    service.replace_data(None)
    yield
    await service.start_redis()


@fault("redis-older", "Redis killed; it comes back with data of 3 s before", 2, REDIS_LOST)
async def redis_older(service: Deployment) -> AsyncIterator[None]:
    copy = service.copy_data()
    await asyncio.sleep(3)
    service.redis.stop()
    service.replace_data(copy)
    yield
    await service.start_redis()


@fault("redis-loading", f"Redis killed; it loads its file for {LOAD_S:g} s", LOAD_S, REDIS)
async def redis_loading(service: Deployment) -> AsyncIterator[None]:
    service.redis.stop()
    await service.start_redis(*service.slow_loading(LOAD_S))
    yield
    await service.until(service.answers, "Redis has loaded its file")
    service.client.config_set("key-load-delay", 0)


@fault("redis-freeze", f"Redis frozen for {STALL_S:g} s (SIGSTOP)", STALL_S, REDIS)
async def redis_freeze(service: Deployment) -> AsyncIterator[None]:
    service.redis.freeze()
    yield
    service.redis.thaw()


@fault(
    "redis-nearly-full",
    "Redis above 85 % of its memory: the log is trimmed",
    FULL_S,
    Promise(cuts_log=True, stops_resume=True),
)
async def redis_nearly_full(service: Deployment) -> AsyncIterator[None]:
    client = service.client
    client.set("filler", b"x" * 20 * FILLER_BYTES)
    client.config_set("maxmemory", round(service.memory_bytes() / 0.9))
    yield
    client.config_set("maxmemory", 0)
    client.delete("filler")


@fault(
    "redis-full",
    "Redis full of other keys (noeviction): SET is refused",
    FULL_S,
    Promise(cuts_log=True, stops_resume=True),
)
async def redis_full(service: Deployment) -> AsyncIterator[None]:
    client = service.client
    client.set("filler", b"x" * 20 * FILLER_BYTES)
    client.config_set("maxmemory", round(service.memory_bytes() * 0.9))
    yield
    client.config_set("maxmemory", 0)
    client.delete("filler")


@fault("redis-flush", "FLUSHALL", 1, REDIS_LOST)
async def redis_flush(service: Deployment) -> AsyncIterator[None]:
    service.client.flushall()
    yield


@fault("script-flush", "SCRIPT FLUSH", 1, BRIDGE)
async def script_flush(service: Deployment) -> AsyncIterator[None]:
    service.client.script_flush()
    yield


@fault("pubsub-kill", "CLIENT KILL TYPE pubsub", 1, BRIDGE | LANES)
async def pubsub_kill(service: Deployment) -> AsyncIterator[None]:
    service.client.client_kill_filter(_type="pubsub")
    yield


@fault("clients-kill", "every connection to Redis closed", 1, BRIDGE | LANES)
async def clients_kill(service: Deployment) -> AsyncIterator[None]:
    service.client.client_kill_filter(_type="pubsub")
    service.client.client_kill_filter(_type="normal", skipme=True)
    yield


# -- processes ------------------------------------------------------------------------------------


@asynccontextmanager
async def killed(process: Service) -> AsyncIterator[None]:
    process.stop()
    yield
    process.start()


@asynccontextmanager
async def frozen(*processes: Service) -> AsyncIterator[None]:
    for process in processes:
        process.freeze()
    yield
    for process in processes:
        process.thaw()


@fault("bridge-kill", "the bridge killed; a standby takes over", RESTART_S, BRIDGE)
async def bridge_kill(service: Deployment) -> AsyncIterator[None]:
    async with killed(service.active_bridge()):
        yield


@fault("bridges-kill", "both bridges killed", 3, BRIDGE)
async def bridges_kill(service: Deployment) -> AsyncIterator[None]:
    for bridge in service.bridges:
        bridge.stop()
    yield
    for bridge in service.bridges:
        bridge.start()


@fault("bridge-freeze", "the bridge frozen beyond its lease", 2.5 * BRIDGE_LEASE_S, BRIDGE)
async def bridge_freeze(service: Deployment) -> AsyncIterator[None]:
    async with frozen(service.active_bridge()):
        yield


@fault("bridge-pause", "the bridge frozen within its lease", BRIDGE_LEASE_S / 2, NOTHING)
async def bridge_pause(service: Deployment) -> AsyncIterator[None]:
    async with frozen(service.active_bridge()):
        yield


@fault("web-kill", "a web server killed", RESTART_S, NOTHING)
async def web_kill(service: Deployment) -> AsyncIterator[None]:
    async with killed(service.webs[0]):
        yield


@fault("web-freeze", "a web server frozen for 4 s", 4, LANES)
async def web_freeze(service: Deployment) -> AsyncIterator[None]:
    async with frozen(service.webs[0]):
        yield


@fault("rolling-restart", "web servers and bridges restarted in turn (SIGTERM)", 2, NOTHING)
async def rolling_restart(service: Deployment) -> AsyncIterator[None]:
    for web in service.webs:
        port = service.web_ports[web.name]
        await web.stop_gently()
        web.start()
        await service.until(lambda: accepts(port), f"{web.name} accepts")  # noqa: B023
    channel = handover_channel(1)
    for _ in service.bridges:
        bridge = service.active_bridge()
        await bridge.stop_gently()
        await service.until(service.has_bridge, "the standby works")
        bridge.start()
        await service.until(
            lambda: bool(service.client.pubsub_numsub(channel)[0][1]), "a bridge stands by"
        )
    yield


@fault("recorder-kill", "the recorder killed; a standby takes over", RESTART_S, NOTHING)
async def recorder_kill(service: Deployment) -> AsyncIterator[None]:
    async with killed(await service.active_recorder()):
        yield


@fault("recorder-freeze", "the recorder frozen beyond its lease", 2 * RECORDER_LEASE_S, NOTHING)
async def recorder_freeze(service: Deployment) -> AsyncIterator[None]:
    async with frozen(await service.active_recorder()):
        yield


@fault("history-locked", "the history database locked for 8 s", 8, NOTHING)
async def history_locked(service: Deployment) -> AsyncIterator[None]:
    with locked(service.history_url):
        yield


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Let nobody write a database, and in PostgreSQL nobody read it, for the time of the block."""
    if url.startswith("sqlite:///"):
        file = sqlite3.connect(url.removeprefix("sqlite:///"), timeout=5, isolation_level=None)
        with closing(file):
            file.execute("BEGIN EXCLUSIVE")
            yield
            file.rollback()
        return
    import psycopg

    with psycopg.connect(url) as server:
        server.execute("LOCK TABLE history_tick, history_logposition")
        yield


@fault("client-freeze", "all clients read nothing for 12 s", 12, NOTHING)
async def client_freeze(service: Deployment) -> AsyncIterator[None]:
    for reading in service.readers:
        reading.clear()
    yield
    for reading in service.readers:
        reading.set()


# -- the network ----------------------------------------------------------------------------------


@asynccontextmanager
async def failing(proxies: Sequence[Proxy], mode: Mode) -> AsyncIterator[None]:
    for proxy in proxies:
        proxy.set_mode(mode)
    yield
    for proxy in proxies:
        proxy.set_mode(Mode.PASS)


@asynccontextmanager
async def late(proxies: Sequence[Proxy]) -> AsyncIterator[None]:
    for proxy in proxies:
        proxy.latency_s = LATENCY_S
    yield
    for proxy in proxies:
        proxy.latency_s = 0.0


async def bridge_hop(service: Deployment) -> list[Proxy]:
    return [service.proxies[service.active_bridge().name]]


async def web_hop(service: Deployment) -> list[Proxy]:
    return [service.proxies[web.name] for web in service.webs[:1]]


async def recorder_hop(service: Deployment) -> list[Proxy]:
    return [service.proxies[(await service.active_recorder()).name]]


async def client_hop(service: Deployment) -> list[Proxy]:
    return list(service.doors.values())


# Name -> the two ends, how its proxies are found, and what a failure may cost.
HOPS: dict[str, tuple[str, Callable[[Deployment], Awaitable[list[Proxy]]], Promise]] = {
    "bridge": ("bridge and Redis", bridge_hop, BRIDGE),
    "web": ("a web server and Redis", web_hop, LANES),
    "recorder": ("recorder and Redis", recorder_hop, NOTHING),
    "client": ("clients and web servers", client_hop, NOTHING),
}


def enter_hop(name: str) -> None:
    """Enter the faults of one hop."""
    between, proxies, promise = HOPS[name]

    @fault(f"{name}-late", f"{between}: {LATENCY_S * 1000:g} ms latency", 3, NOTHING)
    async def be_late(service: Deployment) -> AsyncIterator[None]:
        async with late(await proxies(service)):
            yield

    for mode, lasts_s in ((Mode.STALL, STALL_S), (Mode.HALF_OPEN, HALF_OPEN_S), (Mode.CUT, CUT_S)):

        @fault(f"{name}-{mode}", f"{between}: {mode} for {lasts_s:g} s", lasts_s, promise)
        async def fail(service: Deployment, mode: Mode = mode) -> AsyncIterator[None]:
            async with failing(await proxies(service), mode):
                yield


for hop in HOPS:
    enter_hop(hop)


# -- two at once ----------------------------------------------------------------------------------


def _part(fault: Fault) -> str:
    """Return which part of the service a fault is in."""
    return fault.name.partition("-")[0].rstrip("s")


def two_at_once(chance: random.Random) -> Fault:
    """Return two faults of different parts as one."""
    while True:
        # Other faults need a Redis that answers to begin with.
        single = [one for one in FAULTS.values() if not one.needs_sentinels]
        pair = chance.sample([one for one in single if one.name != "nothing"], 2)
        first, second = sorted(pair, key=lambda one: one.name.startswith("redis"))
        if _part(first) != _part(second):
            break

    @asynccontextmanager
    async def both(service: Deployment) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for one in (first, second):
                await stack.enter_async_context(one.inject(service))
            yield

    return Fault(
        f"{first.name}+{second.name}",
        f"{first.title}, and {second.title}",
        max(first.lasts_s, second.lasts_s),
        first.promise | second.promise,
        both,
    )
