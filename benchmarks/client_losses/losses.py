"""The ways in which a client loses its connection."""

import asyncio
import random
from collections.abc import Awaitable, Callable

from benchmarks.chaos.proxy import Mode
from benchmarks.client_losses.stage import Stage

Loss = Callable[[Stage, random.Random, float], Awaitable[None]]


async def cut(stage: Stage, chance: random.Random, silence_s: float) -> None:
    """The connection is reset, and new ones for a moment."""
    stage.door.set_mode(Mode.CUT)
    await asyncio.sleep(chance.choice((0.0, 0.05, 0.3)))
    stage.door.set_mode(Mode.PASS)


async def half_open(stage: Stage, chance: random.Random, silence_s: float) -> None:
    """Everything that is sent is dropped without a word, so that only silence tells."""
    stage.door.set_mode(Mode.HALF_OPEN)
    await asyncio.sleep(silence_s * 1.5)
    stage.door.set_mode(Mode.PASS)


async def kill(stage: Stage, chance: random.Random, silence_s: float) -> None:
    """The web server is killed; another one takes the connections."""
    await stage.kill_web()


async def freeze(stage: Stage, chance: random.Random, silence_s: float) -> None:
    """The web server stands still (SIGSTOP) for longer than the client waits."""
    stage.web.freeze()
    await asyncio.sleep(silence_s * 1.5)
    stage.web.thaw()


LOSSES: dict[str, tuple[Loss, int]] = {  # name -> the loss, and how often of all
    "cut": (cut, 14),
    "half-open": (half_open, 2),
    "kill": (kill, 2),
    "freeze": (freeze, 2),
}


def drawn(chance: random.Random, count: int) -> list[str]:
    """Return the names of losses in a random order, each kind at least once if there is room."""
    names = list(LOSSES)
    weights = [weight for _, weight in LOSSES.values()]
    chosen = [*names, *chance.choices(names, weights, k=max(0, count - len(names)))][:count]
    chance.shuffle(chosen)
    return chosen
