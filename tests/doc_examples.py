"""The examples of documents, run as they stand: blocks of code that have a name in their fence."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.programs import ROOT

START_S = 100.0  # a client that is installed now may take this long
_BLOCK = re.compile(r"^```(\w+) ([\w.-]+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Example(NamedTuple):
    language: str
    text: str

    def at(self, port: int, key: str) -> str:
        """Return the example with the address and the key of a test's server."""
        text = self.text.replace("localhost:5000", f"127.0.0.1:{port}")
        return text.replace("API_KEY", key)


def examples_of(document: str) -> dict[str, Example]:
    """Return the examples of a document by name."""
    found = _BLOCK.findall((ROOT / document).read_text())
    return {name: Example(language, text) for language, name, text in found}


@contextlib.asynccontextmanager
async def running(
    arguments: list[str], folder: Path, environment: dict[str, str] | None = None
) -> AsyncIterator[Any]:
    """Run a program; its output is a pipe, and it is ended in the end."""
    process = await asyncio.create_subprocess_exec(
        *arguments,
        cwd=folder,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def wait_for(process: Any, part: str) -> None:
    """Return when a line of the process has a part in it."""
    lines = []
    try:
        async with asyncio.timeout(START_S):
            async for line in process.stdout:
                lines.append(line.decode())
                if part in lines[-1]:
                    return
    except TimeoutError:
        pass
    raise AssertionError(f"{part} is not in:\n{''.join(lines)}")
