"""Runs a client program, and reads what its library gave it."""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from benchmarks.chaos.client_account import ClientAccount, Event, Price, Resumed, Unreadable
from benchmarks.chaos.findings import Findings, Kind
from benchmarks.chaos.ledger import Ledger
from benchmarks.chaos.promises import NOTHING
from benchmarks.processes import REPOSITORY

_END_S = 10.0
_MAX_LINE_BYTES = 1 << 20


class Driver:
    """A client program, started on entering and ended on leaving.

    Attributes:
        state: that of its connection.
        losses: how often it was not open any more after it was.
        recovered: what of a symbol was recovered, how often.
        newest: symbol -> the number of its newest tick.
    """

    def __init__(self, command: Sequence[str], options: dict[str, Any]) -> None:
        self._command = [*command, json.dumps(options)]
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self.events: list[Event] = []
        self.state = ""
        self.losses = 0
        self.recovered: Counter[str] = Counter()
        self.newest: dict[str, int] = {}

    async def __aenter__(self) -> "Driver":
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            cwd=REPOSITORY,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_MAX_LINE_BYTES,
        )
        self._reader = asyncio.create_task(self._read(self._process))
        return self

    async def __aexit__(self, *exception: object) -> None:
        assert self._process is not None and self._reader is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(_END_S):
                await self._process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        await self._reader

    @property
    def has_ended(self) -> bool:
        """Whether the program has ended by itself."""
        return self._process is not None and self._process.returncode is not None

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            try:
                self._take(json.loads(line))
            except (ValueError, KeyError, TypeError, ArithmeticError):
                self.events.append(Unreadable(line.decode(errors="replace")[:200]))

    def _take(self, line: dict[str, Any]) -> None:
        if "tick" in line:
            one = line["tick"]
            self.events.append(
                Price(
                    one["symbol"],
                    one["n"],
                    one["epoch"],
                    one["seq"],
                    Decimal(one["price"]),
                    one["timestamp"],
                )
            )
            self.newest[one["symbol"]] = one["n"]
        elif "recovered" in line:
            one = line["recovered"]
            self.recovered["recovered" if one["recovered"] else "not recovered"] += 1
            self.recovered["missed ticks"] += one["ticks"]
            self.events.append(Resumed(one["symbol"], one["recovered"], one["reason"]))
        elif "state" in line:
            if self.state == "open" and line["state"] != "open":
                self.losses += 1
            self.state = line["state"]
        elif "error" in line:
            self.events.append(Unreadable(str(line["error"])[:200]))

    def is_complete(self, ledger: Ledger) -> bool:
        """Return whether the newest tick of every symbol has come."""
        return all(
            self.newest.get(symbol, 0) >= ledger.last_acknowledged(symbol)
            for symbol in ledger.symbols()
        )


def judge(events: Sequence[Event], ledger: Ledger) -> Findings:
    """Return what is wrong with the ticks that a library gave, over all of its connections.

    The losses are not in the account: all ticks must be one stream, as if there were none.
    """
    account = ClientAccount("the client", every_tick=True)
    everything = {symbol: set(range(1, len(ledger.ticks) + 1)) for symbol in ledger.symbols()}
    findings = account.judge(events, ledger=ledger, shown=everything, promise=NOTHING, until=0)
    if findings.counts["skipped"]:
        findings.add(Kind.HOLE, "the client", f"{findings.counts['skipped']} ticks are missing")
    return findings
