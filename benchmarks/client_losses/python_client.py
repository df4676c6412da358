"""The client program of the Python library: see `benchmarks/client_losses/__init__.py`."""

import asyncio
import contextlib
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "clients" / "python" / "src"))

from live_price import ClientError, PriceClient, Recovered, StateChange, Tick


def write(**line: Any) -> None:
    sys.stdout.write(json.dumps(line) + "\n")


async def main() -> None:
    options = json.loads(sys.argv[1])
    client = PriceClient(
        options["url"],
        exact=True,
        silence_s=options["silence_s"],
        max_backoff_s=options["max_backoff_s"],
    )
    client.on(StateChange, lambda change: write(state=change.state))
    client.on(ClientError, lambda event: write(error=str(event.error)))
    asyncio.get_running_loop().run_in_executor(None, end_with_input, asyncio.current_task())
    async with client as prices:
        async for event in prices.subscribe(options["symbols"], conflate=False).events():
            if isinstance(event, Tick):
                tick = {"price": str(event.price), **event.extra}
                for name in ("symbol", "timestamp", "epoch", "seq"):
                    tick[name] = getattr(event, name)
                write(tick=tick)
            elif isinstance(event, Recovered):
                write(
                    recovered={
                        "symbol": event.key,
                        "recovered": event.recovered,
                        "ticks": event.ticks,
                        "reason": event.reason,
                    }
                )


def end_with_input(task: "asyncio.Task[Any] | None") -> None:
    sys.stdin.read()
    assert task is not None
    task.get_loop().call_soon_threadsafe(task.cancel)


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(main())
