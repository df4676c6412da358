"""The clients of the state machine: each notes what it is sent, and compares it with the truth."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from quotes.websocket.protocol import CloseCode
from quotes.websocket.session import ClientSession
from tests.websocket.machine_bridge import MachineBridge


class Reader:
    """A transport whose client reads while `reads` is set.

    Attributes:
        fails: the names of the methods that raise.
        code: with which the server closed the connection; 0 while it is open.
    """

    form = "reader"

    def __init__(self) -> None:
        self.on_drain: Callable[[], None] = lambda: None
        self.on_flood: Callable[[], None] = lambda: None
        self.reads = True
        self.fails: frozenset[str] = frozenset()
        self.code = 0
        self.is_aborted = False
        self.waiting: list[str] = []
        self.taken: list[str] = []

    def _may_fail(self, name: str) -> None:
        if name in self.fails:
            raise RuntimeError("as a mistake in an outbox would")

    def frame(self, opcode: int, payload: bytes) -> str:
        self._may_fail("frame")
        return payload.decode()

    def write(self, frames: list[str]) -> None:
        self._may_fail("write")
        if not self.has_ended:
            (self.taken if self.reads else self.waiting).extend(frames)

    def unsent(self) -> int:
        return sum(map(len, self.waiting))

    def progress_at(self) -> float:
        return float("inf")

    def close(self, code: int, reason: str) -> None:
        self._may_fail("close")
        self.code = self.code or code

    def abort(self) -> None:
        self.is_aborted = True

    @property
    def has_ended(self) -> bool:
        return bool(self.code) or self.is_aborted

    def read_on(self) -> None:
        self.reads = True
        self.taken += self.waiting
        self.waiting.clear()
        self.on_drain()


@dataclass
class Subscription:
    """What a client makes of one symbol.

    Attributes:
        price: the last one; None before the first.
        position: epoch and seq of that, for clients whose prices are numbered.
        every_tick: whether it was subscribed with `"conflate":false`.
        seen: the numbers of its prices.
    """

    every_tick: bool
    price: int | None = None
    position: tuple[int, int] | None = None
    seen: set[tuple[int, int]] = field(default_factory=set)


@dataclass
class MachineClient:
    """A client, and what it made of what it was sent."""

    session: ClientSession
    transport: Reader
    bridge: MachineBridge
    # Ticks that it may have missed since the process was cut off from Redis: symbol -> ordinals.
    lossy: dict[str, set[int]]
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    paced: bool = False  # whether it gets prices at intervals, which leave some out
    slow: bool = False  # whether it stopped reading since it was last found up to date
    counts: bool = True  # whether missed prices can be told from those never due
    excused: bool = False  # whether a tick may be missing, so that 4410 is right
    missed: int = 0
    skipped: int = 0
    requests: list[dict[str, Any]] = field(default_factory=list)  # by id
    under_way: list["asyncio.Task[None]"] = field(default_factory=list)

    def ask(self, loop: asyncio.AbstractEventLoop, **message: Any) -> None:
        """Send a message; what it does goes on while other things happen."""
        text = json.dumps({**message, "id": len(self.requests)})
        self.requests.append(message)
        self.under_way.append(loop.create_task(self._carry_out(text)))

    async def _carry_out(self, text: str) -> None:
        """Handle a message, and end the session if that raises, as the consumer does."""
        try:
            await self.session.handle(text)
        except Exception:
            self.session.end()
            if not self.session.closing:
                self.transport.abort()
            if not self.transport.fails:
                raise

    @property
    def is_idle(self) -> bool:
        """Whether no request is under way."""
        return self.session.requests.is_idle and all(task.done() for task in self.under_way)

    def is_up_to_date(self) -> bool:
        self.look()
        return all(
            (one.price or 0) == self.bridge.newest(name) for name, one in self.subscriptions.items()
        )

    def look(self) -> None:
        """Compare what was read since the last look with what was published."""
        taken, self.transport.taken = self.transport.taken, []
        for text in taken:
            frame = json.loads(text)
            for item in frame if isinstance(frame, list) else [frame]:
                match item.get("type"):
                    case None:
                        self._look_at_price(item)
                    case "subscribed":
                        every_tick = not self.requests[item["id"]]["conflate"]
                        for name in item["symbols"]:
                            self.subscriptions[name] = Subscription(every_tick)
                    case "resumed":
                        self._look_at_resumed(item)
                    case "unsubscribed":
                        for name in item["symbols"]:
                            del self.subscriptions[name]
                    case "conflated":
                        self.skipped += item["skipped"]
                    case "error":
                        assert self.transport.fails, item

    def _look_at_resumed(self, item: dict[str, Any]) -> None:
        since = self.requests[item["id"]]["since"][item["symbol"]]
        if item["recovered"]:
            one = self.subscriptions[item["symbol"]]
            one.position = since["epoch"], since["seq"]
            one.price = self.bridge.numbered[item["symbol"], *one.position]
        else:
            assert not self.bridge.continues, item

    def _look_at_price(self, item: dict[str, Any]) -> None:
        name, price = item["symbol"], int(item["price"])
        one = self.subscriptions[name]
        renumbered = False
        if "seq" in item:
            position = item["epoch"], item["seq"]
            assert self.bridge.numbered[name, *position] == price
            assert position not in one.seen, f"{name} {position} twice"
            one.seen.add(position)
            renumbered = one.position is not None and one.position[0] != position[0]
            one.position = position
        last, one.price = one.price, price
        if last is None:
            return
        text = f"{name} {item} after {last}"
        assert price > last or (price == last and (renumbered or not self.bridge.continues)), text
        assert not (one.every_tick and renumbered), text
        missing = set(range(last + 1, price))
        if (name, last) in self.bridge.starts:
            missing.clear()  # Redis lost them before these numbers began
        assert not (one.every_tick and missing), text
        missing -= self.lossy[name]
        self.missed += len(missing)
        assert not missing or self.slow or self.paced, text

    def look_at_end(self) -> None:
        """Check that the server had a reason to end the connection, and let go of everything."""
        if self.transport.has_ended:
            assert self.session.ended
            every_tick = any(not one.get("conflate", True) for one in self.requests)
            assert self.transport.fails or (
                self.transport.code == CloseCode.TOO_SLOW_FOR_EVERY_TICK and every_tick
            ), self.transport.code
            assert self.excused or self.transport.fails, "every tick came, and still it was closed"

    async def leave(self, *, politely: bool) -> None:
        """End as the consumer ends a session: whatever was under way is over."""
        if politely and "close" not in self.transport.fails:
            self.session.close(CloseCode.SLOW_READER, "enough")
        for task in self.under_way:
            task.cancel()
        await asyncio.gather(*self.under_way, return_exceptions=True)
        self.session.end()
        await self.session.finished()
