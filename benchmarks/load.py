"""The load process: many WebSocket clients on one epoll loop, cheap enough not to be the limit.

Sockets are received into one reused buffer and handed to a meter, which need not parse them.
Between two rounds of reading the loop may pause: what arrives meanwhile is read at once.
"""

import gc
import select
import sys
import time
from array import array
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.connections import Connection
from benchmarks.control import Commands, Values, answer
from benchmarks.counters import Counters
from benchmarks.kite import QUOTE_START
from benchmarks.meters import FirstPrices, LatencyMeter, Meter, OrderCheck, PriceCounter
from benchmarks.wire import PONG, frame, pings_in

BUFFER_BYTES = 1 << 18
CONNECTING = 128  # handshakes under way at once
METERS: dict[str, Callable[[int], Meter]] = {
    "count": PriceCounter,
    "kite": partial(PriceCounter, pattern=QUOTE_START),
    "latency": LatencyMeter,
    "first": FirstPrices,
    "check": OrderCheck,
}
READ, WRITE = select.EPOLLIN, select.EPOLLOUT
GONE = select.EPOLLHUP | select.EPOLLERR | select.EPOLLRDHUP


class LoadClient:
    def __init__(self, config: Values, commands: Commands) -> None:
        """Args:
        config: `counters` (path), `slot`, `meter` (a key of METERS), `pause_s`, `connections`,
            a list of `port`, `path`, `steps` and `narrow` as in `Connection`.
            With the meter "first" the steps' messages are held until `do_subscribe`, and
            `symbols` says how many each subscribes to.
        commands: from the benchmark.
        """
        self.pause_s: float = config["pause_s"]
        self.counters = Counters(Path(config["counters"]))
        self.slot: int = config["slot"]
        self.meter = METERS[config["meter"]](BUFFER_BYTES)
        self.waiting: list[Values] = list(reversed(config["connections"]))
        self.wanted = len(self.waiting)
        self.connections: dict[int, Connection] = {}  # file descriptor -> connection
        self.opening: dict[int, Connection] = {}  # those of them whose steps are not done
        self.counts: dict[int, int] = {}  # file descriptor -> prices received
        self.held: dict[int, list[str]] = {}  # file descriptor -> messages for `do_subscribe`
        self.begun_ns = 0  # when those were sent
        self.closed = 0
        self.commands = commands
        self.epoll = select.epoll()
        self.epoll.register(commands.fileno(), READ)

    def open_more(self) -> None:
        """Begin the next handshakes, so that only so many are under way."""
        while self.waiting and len(self.opening) < CONNECTING:
            values = self.waiting.pop()
            symbols, held = values.pop("symbols", 0), []
            if isinstance(self.meter, FirstPrices):
                held = [message for _, message in values["steps"] if message]
                values["steps"] = []
            connection = Connection(**values)
            fd = connection.fileno
            if isinstance(self.meter, FirstPrices):
                self.held[fd] = held
                self.meter.want(fd, symbols)
            self.connections[fd] = self.opening[fd] = connection
            self.counts[fd] = 0
            self.epoll.register(fd, WRITE | READ)

    def advance(self, fd: int, event: int) -> None:
        """Take a connection that is opening further; its prices are counted already."""
        connection = self.opening[fd]
        if event & WRITE:
            connection.begin()
            self.epoll.modify(fd, READ)
        if event & ~WRITE:
            data = connection.receive()
            if data:
                self.meter.room[: len(data)] = data
                self.counts[fd] += self.meter.take(fd, len(data))
        if connection.ready:
            del self.opening[fd]
            self.open_more()
            if not self.opening:
                answer(ready=len(self.connections))

    def run(self) -> None:
        """Serve until the benchmark is gone."""
        self.open_more()
        meter, room, counts = self.meter, self.meter.room, self.counts
        slots, slot, connections = self.counters.slots, self.slot, self.connections
        poll, opening, ask = self.epoll.poll, self.opening, self.commands.fileno()
        buffer, margin = meter.buffer, meter.margin
        while True:
            total = slots[slot]
            for fd, event in poll(-1, 4096):
                if fd == ask:
                    self.obey()
                elif fd in opening:
                    before = counts[fd]
                    self.advance(fd, event)
                    total += counts[fd] - before
                elif event & READ:
                    try:
                        size = connections[fd].recv_into(room)
                    except ConnectionError:
                        size = 0
                    if not size:
                        self.lose(fd)
                        continue
                    meter.now_ns = time.monotonic_ns()
                    found = meter.take(fd, size)
                    counts[fd] += found
                    total += found
                    if buffer.find(b"\x89", margin, margin + size) >= 0:
                        for payload in pings_in(room[:size]):
                            connections[fd].socket.send(frame(payload, PONG))
                elif event & GONE:
                    self.lose(fd)
            slots[slot] = total
            if self.pause_s:
                time.sleep(self.pause_s)

    def lose(self, fd: int) -> None:
        """Note that the server closed a connection."""
        self.closed += 1
        self.epoll.unregister(fd)

    def obey(self) -> None:
        for command in self.commands.read():
            getattr(self, f"do_{command.pop('do')}")(**command)

    def do_report(self) -> None:
        """Answer with what was received so far."""
        values: Values = {
            "counts": list(self.counts.values()),
            "closed": self.closed,
        }
        if isinstance(self.meter, OrderCheck):
            values |= {
                "repeated": self.meter.repeated,
                "reversed": self.meter.reversed,
                "skipped": self.meter.skipped,
                "last": sum(self.meter.last.values()),
            }
        answer(**values)

    def do_subscribe(self) -> None:
        """Send what was held of all clients, at once."""
        self.begun_ns = time.monotonic_ns()
        for fd, messages in self.held.items():
            connection = self.connections[fd].socket
            connection.setblocking(True)
            for message in messages:
                connection.sendall(frame(message.encode()))
            connection.setblocking(False)
        answer(done=True)

    def do_served(self) -> None:
        """Answer with the seconds after which each client had all of its first prices."""
        assert isinstance(self.meter, FirstPrices)
        times = sorted(self.meter.served_ns.values())
        answer(served_s=[(at - self.begun_ns) / 1e9 for at in times], closed=self.closed)

    def do_forget(self) -> None:
        """Leave out the latencies so far."""
        if isinstance(self.meter, LatencyMeter):
            self.meter.ages_ns.clear()
        answer(done=True)

    def do_save_latencies(self, path: str) -> None:
        """Write the latencies to a file, 64-bit nanoseconds."""
        assert isinstance(self.meter, LatencyMeter)
        with Path(path).open("wb") as file:
            array("q", self.meter.ages_ns).tofile(file)
        answer(done=True)

    def do_stop_reading(self) -> None:
        """Read nothing more; answer with the clients' ports."""
        for fd in self.connections:
            self.epoll.modify(fd, 0)
        answer(ports=[each.socket.getsockname()[1] for each in self.connections.values()])


def main() -> None:
    commands = Commands()
    client = LoadClient(commands.first(), commands)
    gc.disable()
    gc.freeze()
    try:
        client.run()
    except (ConnectionError, ValueError) as error:
        answer(failed=str(error))
        sys.exit(1)


if __name__ == "__main__":
    main()
