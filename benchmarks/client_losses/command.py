"""Takes the connection of a client library away, again and again, and accounts for every tick."""

import argparse
import asyncio
import random
import shlex
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.chaos.findings import Findings
from benchmarks.client_losses.driver import Driver, judge
from benchmarks.client_losses.losses import LOSSES, drawn
from benchmarks.client_losses.stage import SYMBOLS, Stage
from benchmarks.processes import Failed, run_to_end

CLIENTS = {
    "python": f"{shlex.quote(sys.executable)} -m benchmarks.client_losses.python_client",
    "js": "node --experimental-websocket benchmarks/client_losses/js_client.mjs",
}
BACK_S = 60.0
SETTLE_S = 30.0
SHOWN = 10  # breaches in the text


@dataclass
class Outcome:
    """What a run found."""

    losses: int
    ticks: int
    kinds: Counter[str]
    recovered: Counter[str]
    findings: Findings
    took_s: float = 0.0
    longest_back_s: float = 0.0
    problems: list[str] = field(default_factory=list)

    @property
    def is_kept(self) -> bool:
        return not self.findings.breaches and not self.problems

    def __str__(self) -> str:
        kinds = ", ".join(f"{name} {count}" for name, count in sorted(self.kinds.items()))
        lines = [
            f"losses of connection: {self.losses} ({kinds}) in {self.took_s:.0f} s",
            f"ticks published {self.ticks}, given {self.findings.counts['delivered']}, "
            f"of these recovered {self.recovered['missed ticks']}",
            f"symbols recovered {self.recovered['recovered']} times, "
            f"not recovered {self.recovered['not recovered']} times",
            f"back with prices within {self.longest_back_s:.1f} s at most",
        ]
        lines += [f"BREACH {one.kind}: {one.text}" for one in self.findings.breaches[:SHOWN]]
        lines += [f"PROBLEM {one}" for one in self.problems]
        return "\n".join(lines)


async def run(
    command: str,
    folder: Path,
    *,
    losses: int,
    seed: int = 1,
    rate: float = 100.0,
    silence_s: float = 2.0,
    pause_s: float = 1.2,
) -> Outcome:
    """Drive a client program through losses of connection."""
    chance = random.Random(seed)
    options: dict[str, Any] = {
        "symbols": SYMBOLS,
        "silence_s": silence_s,
        "max_backoff_s": 1.0,
    }
    began = time.monotonic()
    async with Stage(folder, rate=rate) as stage:
        stage.publish()
        async with Driver(shlex.split(command), {**options, "url": stage.url}) as driver:

            async def back(since: dict[str, int]) -> None:
                await stage.until(
                    lambda: (
                        driver.has_ended
                        or all(driver.newest.get(one, 0) > since.get(one, 0) for one in SYMBOLS)
                    ),
                    "the client has new prices",
                    BACK_S,
                )

            outcome = Outcome(0, 0, Counter(), driver.recovered, Findings())
            try:
                await back({})
                for name in drawn(chance, losses):
                    if driver.has_ended:
                        raise Failed("the client ended by itself")
                    loss, _ = LOSSES[name]
                    before = driver.losses
                    await asyncio.sleep(chance.uniform(0.05, pause_s))
                    await loss(stage, chance, silence_s)
                    ended = time.monotonic()
                    await stage.until(
                        lambda before=before: driver.losses > before,  # type: ignore[misc]
                        f"the client notices that its connection is gone ({name})",
                        BACK_S,
                    )
                    since = {one: stage.ledger.last_acknowledged(one) for one in SYMBOLS}
                    await back(since)
                    outcome.longest_back_s = max(outcome.longest_back_s, time.monotonic() - ended)
                    outcome.kinds[name] += 1
                stage.pause()
                await asyncio.sleep(0.2)
                await stage.until(
                    lambda: driver.is_complete(stage.ledger), "the last ticks have come", SETTLE_S
                )
                await asyncio.sleep(0.5)  # what must not come comes now
            except Failed as error:
                outcome.problems.append(str(error))
            stage.pause()
        outcome.losses = driver.losses
        outcome.ticks = len(stage.ledger.ticks)
        outcome.findings = judge(driver.events, stage.ledger)
    outcome.took_s = time.monotonic() - began
    return outcome


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.client_losses", description=__doc__)
    parser.add_argument(
        "--client",
        default="python",
        help=f"one of {', '.join(CLIENTS)}, or a command; default: python",
    )
    parser.add_argument("--losses", type=int, default=200, help="default: 200")
    parser.add_argument("--seed", type=int, default=1, help="of what is random; default: 1")
    parser.add_argument("--rate", type=float, default=100, help="ticks per second; default: 100")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="client-losses-") as name:
        outcome = run_to_end(
            run(
                CLIENTS.get(chosen.client, chosen.client),
                Path(name),
                losses=chosen.losses,
                seed=chosen.seed,
                rate=chosen.rate,
            )
        )
    print(outcome)
    if not outcome.is_kept:
        sys.exit("the client broke its promise")
