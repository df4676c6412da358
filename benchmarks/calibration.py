"""What the load client can take at most, from a server that costs next to nothing."""

import tempfile
import time
from pathlib import Path

from benchmarks.control import Worker
from benchmarks.counters import Counters
from benchmarks.dialects import live_price
from benchmarks.processes import Failed
from benchmarks.window import US, Metrics

CLIENTS = 200
PAUSE_S = 0.02
DRAIN_S = 10.0
# How many frames a client finds when it reads: one each is the dearest a server can make it.
TOGETHER = {"1 frame a write": 1, "8 frames a write": 8, "64 frames a write": 64}


def calibrate(
    logs: Path, *, together: int, duration_s: float, pause_s: float = 0.0, clients: int = CLIENTS
) -> Metrics:
    """Return what one load process takes: deliveries per second and CPU for each.

    Raises:
        Failed: it did not count exactly what was sent.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        path = Path(folder, "received")
        received = Counters.create(path, 1)
        blaster = Worker("benchmarks.blaster", logs / "blaster.log", {"clients": clients})
        try:
            port = blaster.receive(10)["port"]
            path_asked, steps = live_price(["BENCH00000"], 0)
            config = {
                "counters": str(path),
                "slot": 0,
                "meter": "count",
                "pause_s": pause_s,
                "connections": [{"port": port, "path": path_asked, "steps": steps}] * clients,
            }
            load = Worker("benchmarks.load", logs / "load.log", config)
            try:
                load.receive(30)
                return taken(blaster, load, received, together, duration_s)
            finally:
                load.stop()
        finally:
            blaster.stop()
            received.close()


def taken(
    blaster: Worker, load: Worker, received: Counters, together: int, duration_s: float
) -> Metrics:
    """Let the server send for a time; return what the client took."""
    begin, used = time.monotonic(), load.cpu_s()
    command = {"duration_s": duration_s, "together": together}
    frames = blaster.ask(command, duration_s + DRAIN_S)["frames"]
    deadline = time.monotonic() + DRAIN_S
    while received.total() < frames and time.monotonic() < deadline:
        time.sleep(PAUSE_S)
    wall_s, cpu_s = time.monotonic() - begin, load.cpu_s() - used
    if received.total() != frames:
        raise Failed(f"the load client counted {received.total()} of {frames} prices")
    return {
        "deliveries_per_s": frames / wall_s,
        "client_us": cpu_s * US / frames,
        "client_most_per_s": frames / cpu_s,
        "client_busy": cpu_s / wall_s,
    }
