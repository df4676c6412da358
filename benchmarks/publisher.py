"""The publisher process: SET and PUBLISH of ticks, pipelined, paced or as fast as they arrive.

Symbols tick in turn. What was published and not yet received is bounded by the `window` when one is
given: the publisher then waits for the clients, nobody is overrun, and no work is hidden by
conflation. A publisher that is behind its rate does not catch up: the rate reached is reported.
"""

import socket
import time
from pathlib import Path
from typing import Any

from benchmarks.control import Commands, Values, answer
from benchmarks.counters import Counters
from benchmarks.ticks import QUOTE, TickWriter
from quotes.runtime.clock import now_ms

PACE_S = 0.001  # how finely a rate is divided
GATE_S = 0.0002
CHUNK = 200  # most ticks in one write
BEHIND_S = 0.05  # ticks that are later than this are skipped


class Publisher:
    def __init__(self, config: Values) -> None:
        """Args:
        config: `redis_port`, `received` and `expected` (paths of counts, those that clients got
            and those that they are to get), `symbols`, `fanout` (how many clients are subscribed
            to each), `quotes` (larger prices), `stamped` (with the time of sending).
        """
        self.fanout: list[int] = config["fanout"]
        self.received = Counters(Path(config["received"]))
        self.expected = Counters(Path(config["expected"])).slots
        self.writer = TickWriter(
            config["symbols"],
            extra=QUOTE if config["quotes"] else b"",
            stamped=config["stamped"],
        )
        self.at = 0  # the symbol that ticks next
        self.redis = socket.create_connection(("127.0.0.1", config["redis_port"]))
        self.redis.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, count: int) -> None:
        """Publish the next ticks and wait until Redis has them."""
        timestamp = b"%d" % now_ms()
        expected = 0
        commands = []
        for _ in range(count):
            commands.append(self.writer.write(self.at, timestamp))
            expected += self.fanout[self.at]
            self.at = (self.at + 1) % len(self.fanout)
        self.redis.sendall(b"".join(commands))
        replies = 0
        while replies < 2 * count:
            data = self.redis.recv(1 << 16)
            if not data or b"-" in data:
                raise ConnectionError(f"Redis must accept every tick, got {data[:75]!r}")
            replies += data.count(b"\n")
        self.expected[0] += expected

    def publish(
        self, *, duration_s: float = 60, count: int = 0, rate: float = 0, window: int = 0
    ) -> Values:
        """Publish for a time, or a count of ticks, whichever ends first.

        Args:
            duration_s: seconds.
            count: ticks; 0 is no bound.
            rate: ticks per second; 0 is as fast as it goes.
            window: most deliveries under way; 0 is no bound.
        """
        # What is under way now, or was lost before, is not this run's.
        base = self.expected[0] - self.received.total()
        first = self.expected[0]
        sent = 0
        begin = origin = time.monotonic()
        count = count or 1 << 62
        while sent < count:
            now = time.monotonic()
            if now - begin >= duration_s:
                break
            step = CHUNK
            if rate:
                due = int((now - origin) * rate)
                if due > BEHIND_S * rate + 1:
                    origin = now - BEHIND_S
                step = min(step, due)
            if step > 0 and window:
                room = window - (self.expected[0] - self.received.total() - base)
                step = min(step, room // max(1, self.fanout[self.at]))
            step = min(step, count - sent)
            if step <= 0:
                time.sleep(PACE_S if rate else GATE_S)
                continue
            self.send(step)
            sent += step
            if rate:
                origin += step / rate
        elapsed_s = time.monotonic() - begin
        return {"ticks": sent, "expected": self.expected[0] - first, "elapsed_s": elapsed_s}


def main() -> None:
    commands = Commands()
    publisher = Publisher(commands.first())
    answer(ready=True)
    while True:
        for command in commands.read():
            arguments: dict[str, Any] = command
            answer(**publisher.publish(**arguments))


if __name__ == "__main__":
    main()
