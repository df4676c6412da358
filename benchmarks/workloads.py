"""The workloads as data: how many clients, symbols and ticks, and who takes part. No measuring.

The full sizes are those of the targets; `quick` makes each small enough to see that it works.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

OURS = ("uvicorn", "daphne")
SPREAD = "uvicorn-2"  # two web processes
NODE = ("node-ws", "node-ws-send", "node-ws-cork")
STOCK = ("stock-uvicorn", "stock-daphne")
CENTRIFUGO = ("centrifugo", "centrifugo-redis")
SOCKETIO = ("uvicorn-socketio", "daphne-socketio", "socket.io", "python-socketio")
KITE = ("uvicorn-kite", "daphne-kite")
PEERS = ("node-ws", "node-ws-cork", "socket.io", "picows", *CENTRIFUGO)
EVERYONE = (*OURS, *SOCKETIO, *(one for one in PEERS if one not in SOCKETIO), "nchan", *STOCK)


@dataclass(frozen=True)
class Workload:
    name: str
    title: str
    method: str  # which of `experiments` measures it
    contenders: tuple[str, ...]
    clients: int
    symbols: int
    per_client: int  # symbols each client subscribes to
    duration_s: float
    warm_s: float = 3.0  # before the clock starts
    rate: float = 0  # ticks/s; 0 is as fast as it goes
    window: int = 0  # most deliveries under way; 0 is no bound
    interval_ms: int = 0  # clients get arrays at most so often; 0 is a frame per price
    meter: str = "count"
    quotes: bool = False  # prices with a quote's other fields
    slow: int = 0  # of the clients; these join last and stop reading
    herd: int = 0  # further clients, which subscribe all at once while the others get prices
    herd_symbols: int = 0  # symbols each of those subscribes to
    columns: str = ""  # of its table, a key of `report.SHOWN`; empty: those of method and meter
    small: dict[str, Any] = field(default_factory=dict)  # what `quick` changes

    def quick(self) -> "Workload":
        """Return the workload in a size for trying things out."""
        return replace(self, **{"warm_s": 1.0, **self.small})


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload(
            "w1",
            "W1: one symbol, every client, as fast as it goes",
            "fanout",
            (*OURS, *KITE, *NODE, *SOCKETIO, "picows", *CENTRIFUGO, "nchan", *STOCK),
            clients=1000,
            symbols=1,
            per_client=1,
            duration_s=10,
            window=32 * 1000,
            small={"clients": 200, "window": 32 * 200, "duration_s": 2},
        ),
        Workload(
            "w1-single",
            "W1 at a rate at which each tick travels alone: nothing to send together",
            "fanout",
            (*OURS, *NODE, "socket.io", "picows", *CENTRIFUGO, "nchan"),
            clients=1000,
            symbols=1,
            per_client=1,
            duration_s=10,
            rate=30,
            window=4 * 1000,
            small={"clients": 200, "window": 4 * 200, "duration_s": 2},
        ),
        Workload(
            "w2",
            "W2: watch lists, a frame per tick",
            "fanout",
            (*EVERYONE, *KITE),
            clients=200,
            symbols=1000,
            per_client=100,
            duration_s=10,
            rate=5000,
            window=20_000,
            small={"clients": 100, "symbols": 500, "per_client": 50, "rate": 2000, "duration_s": 2},
        ),
        Workload(
            "w2-latency",
            "W2: latency from publish to client",
            "fanout",
            (*OURS, SPREAD, *PEERS),
            clients=200,
            symbols=1000,
            per_client=100,
            duration_s=15,
            rate=5000,
            meter="latency",
            small={"clients": 100, "symbols": 500, "per_client": 50, "rate": 1000, "duration_s": 2},
        ),
        Workload(
            "w2-max",
            "W2 as fast as it goes: the most that one web process carries",
            "fanout",
            (*OURS, *PEERS),
            clients=200,
            symbols=1000,
            per_client=100,
            duration_s=10,
            # Twelve ticks of each symbol. With one of each, this server was idle for half of the
            # time; with twice as many, no server carried more. Nothing is conflated yet.
            window=240_000,
            columns="max",
            small={
                **{"clients": 100, "symbols": 500, "per_client": 50},
                **{"window": 30_000, "duration_s": 2},
            },
        ),
        Workload(
            "w2-batched",
            "W2: watch lists, arrays every 100 ms",
            "fanout",
            (*OURS, "node-ws"),
            clients=200,
            symbols=1000,
            per_client=100,
            duration_s=10,
            rate=5000,
            interval_ms=100,
            small={"clients": 100, "symbols": 500, "per_client": 50, "rate": 2000, "duration_s": 2},
        ),
        Workload(
            "w3",
            "W3: memory of an idle connection with one subscription",
            "memory",
            (
                *OURS,
                "node-ws",
                "uvicorn-socketio",
                "socket.io",
                "picows",
                *CENTRIFUGO,
                "nchan",
                *STOCK,
            ),
            clients=5000,
            symbols=1000,
            per_client=1,
            duration_s=3,
            small={"clients": 500, "duration_s": 1},
        ),
        Workload(
            "w4",
            "W4: some clients stop reading",
            "slow_readers",
            (*OURS, "node-ws"),
            clients=500,
            symbols=20,
            per_client=20,
            duration_s=20,
            rate=100,
            meter="latency",
            quotes=True,
            slow=10,
            small={"clients": 100, "duration_s": 16, "slow": 4},
        ),
        Workload(
            "w5",
            "W5: a whole market, arrays every 100 ms",
            "market",
            (*OURS, "node-ws"),
            clients=100,
            symbols=50_000,
            per_client=500,
            duration_s=60,
            # Less than the symbols: no symbol ticks again while its last tick is under way.
            window=45_000,
            interval_ms=100,
            small={"symbols": 5000, "per_client": 50, "window": 4500, "duration_s": 3},
        ),
        Workload(
            "w6",
            "W6: latency from publish to client",
            "fanout",
            (*OURS, SPREAD, "node-ws", "socket.io", "picows", *CENTRIFUGO),
            clients=200,
            symbols=1000,
            per_client=100,
            duration_s=20,
            rate=2500,
            meter="latency",
            small={"clients": 100, "symbols": 500, "per_client": 50, "rate": 1000, "duration_s": 3},
        ),
        Workload(
            "herd",
            "herd: many clients subscribe to many symbols at once while prices flow",
            "herd",
            (*OURS, "node-ws"),
            clients=100,
            symbols=50_000,
            per_client=100,  # most symbols of the herd are new to the web process
            duration_s=30,
            rate=2000,
            meter="latency",
            herd=300,
            herd_symbols=3000,
            small={
                **{"clients": 20, "symbols": 2000, "per_client": 20, "rate": 500},
                **{"herd": 20, "herd_symbols": 500, "duration_s": 2},
            },
        ),
        Workload(
            "check",
            "every tick once and in order, each frame taken apart",
            "fanout",
            EVERYONE,
            clients=100,
            symbols=200,
            per_client=20,
            duration_s=5,
            rate=5000,
            window=20_000,
            meter="check",
            small={"clients": 50, "duration_s": 2},
        ),
    )
}


def watch_lists(workload: Workload) -> list[list[int]]:
    """Return the symbols of each client, by index; the same for everybody who asks.

    When the lists together are as long as the list of symbols, they share it out, so that every
    symbol has one client; else each is a random choice.
    """
    clients, symbols, size = workload.clients, workload.symbols, workload.per_client
    if clients * size == symbols:
        return [list(range(client, symbols, clients)) for client in range(clients)]
    if size == 1:
        return [[client % symbols] for client in range(clients)]
    choice: Callable[..., list[int]] = random.Random(20210416).sample
    return [choice(range(symbols), size) for _ in range(clients)]


def herd_lists(workload: Workload) -> list[list[int]]:
    """Return the symbols of each client of the herd, by index: random, the same for everybody."""
    choice: Callable[..., list[int]] = random.Random(91500).sample
    return [choice(range(workload.symbols), workload.herd_symbols) for _ in range(workload.herd)]


def fanout(lists: list[list[int]], symbols: int) -> list[int]:
    """Return how many clients are subscribed to each symbol."""
    counts = [0] * symbols
    for symbols_of_client in lists:
        for index in symbols_of_client:
            counts[index] += 1
    return counts
