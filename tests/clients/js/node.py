"""A Node process with the client, driven line by line."""

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from tests.other_clients import NODE_WS, node_client
from tests.programs import ROOT
from tests.waiting import DEADLINE_S

HERE = Path(__file__).parent
SOURCE = ROOT / "clients" / "js" / "src"

Value = Any


class JsClient:
    """A client in a Node process; what it reports is read in order, each event once."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.passed: deque[tuple[str, str, Value]] = deque()

    async def do(self, action: str, **values: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": action, **values}).encode() + b"\n")
        await self.process.stdin.drain()

    async def next(self) -> tuple[str, str, Value]:
        assert self.process.stdout is not None
        line = await self.process.stdout.readline()
        assert line, "the Node program has ended"
        source, event, value = json.loads(line)
        assert source != "driver", value
        return source, event, value

    async def get(self, source: str, *events: str, timeout_s: float = DEADLINE_S) -> Value:
        """Return the value of the next of these events; others stay to be read."""
        for at, (found, event, value) in enumerate(self.passed):
            if found == source and event in events:
                del self.passed[at]
                return value
        async with asyncio.timeout(timeout_s):
            while True:
                found, event, value = await self.next()
                if found == source and event in events:
                    return value
                self.passed.append((found, event, value))

    async def state(self, state: str, **options: float) -> Value:
        """Return the next change to a state; the changes before it are dropped."""
        while (change := await self.get("client", "state", **options))["state"] != state:
            pass
        return change

    async def call(self, method: str, *values: Any, on: str = "client") -> Value:
        await self.do("call", method=method, values=values, on=on)
        return await self.get(on, method)

    async def prices(self, source: str, count: int) -> list[Value]:
        return [(await self.get(source, "price"))["price"] for _ in range(count)]

    def nothing_of(self, source: str, *events: str) -> bool:
        """Return whether nothing of the kind has been read."""
        return not any(found == source and event in events for found, event, _ in self.passed)


@contextlib.asynccontextmanager
async def js_client(
    url: str = "", *, module: Path = SOURCE / "live-price.js", **values: Any
) -> AsyncIterator[JsClient]:
    """A Node process, with a client of a URL if there is one."""
    process = await asyncio.create_subprocess_exec(
        "node",
        str(HERE / "driver.mjs"),
        str(module),
        cwd=node_client(NODE_WS),
        env=None,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 24,
    )
    client = JsClient(process)
    try:
        if url:
            await client.do("client", url=url, **values)
        yield client
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
