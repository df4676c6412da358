"""Puts faults into the service and checks its promises.

Starts everything on the loopback interface, on ports and in a folder of its own, and leaves nothing
behind. Exits with 1 if a promise was broken; the evidence is then in a file.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

import benchmarks.chaos.fail_overs  # noqa: F401 - enters its faults
from benchmarks.chaos import day
from benchmarks.chaos.deployment import Deployment
from benchmarks.chaos.faults import FAULTS, Fault, two_at_once
from benchmarks.chaos.findings import Kind
from benchmarks.chaos.ledger import Ledger
from benchmarks.chaos.publishers import Publishers
from benchmarks.chaos.sentinels import SentinelDeployment
from benchmarks.chaos.table import line, markdown
from benchmarks.chaos.trial import Result, Scene
from benchmarks.processes import REPOSITORY, Failed, run_to_end
from quotes.store.clients import pool
from quotes.store.connections import open_client

EVIDENCE = REPOSITORY / "var" / "chaos"
SHORT = ("bridge-kill", "web-cut", "recorder-kill", "redis-older", "master-lag")
RANDOM = "random"  # two faults at once, chosen by the seed
RANDOM_PAIRS = 3
RATE = 100.0
# How long a foreign publisher waits for an answer.
PUBLISHER_TIMEOUT_S = 2.0
LOG_LINES = 40


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.chaos",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("faults", nargs="*", metavar="FAULT", help="only these; default: all")
    parser.add_argument("--list", action="store_true", help="list the faults and end")
    parser.add_argument("--short", action="store_true", help="a few faults, about a minute")
    parser.add_argument("--minutes", type=float, default=30, help="stop after this; default: 30")
    parser.add_argument("--seed", type=int, default=1, help="of what is random; default: 1")
    parser.add_argument(
        "--rate", type=float, default=RATE, help=f"ticks per second; default: {RATE:g}"
    )
    parser.add_argument("--daphne", action="store_true", help="web servers are Daphne")
    parser.add_argument(
        "--redis-program", default="", metavar="FILE", help="redis-server; default: Valkey"
    )
    parser.add_argument(
        "--history", default="", metavar="URL", help="a PostgreSQL database, empty; default: SQLite"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results here")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table here")
    chosen = parser.parse_args()
    everything = [*FAULTS, *[RANDOM] * RANDOM_PAIRS]
    chosen.faults = chosen.faults or list(SHORT if chosen.short else everything)
    for name in chosen.faults:
        if name not in everything:
            parser.error(f"FAULT must be one of {', '.join([*FAULTS, RANDOM])}, got {name!r}")
    return chosen


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


async def run(chosen: argparse.Namespace, folder: Path) -> list[Result]:
    """Carry out the trials; return their results."""
    deadline = time.monotonic() + chosen.minutes * 60
    results: list[Result] = []
    chance = random.Random(chosen.seed)
    waiting = [two_at_once(chance) if name == RANDOM else FAULTS[name] for name in chosen.faults]
    number = 0
    while waiting and time.monotonic() < deadline:
        number += 1
        own = folder / str(number)
        own.mkdir()
        say("starting Redis, bridges, recorders and web servers")
        results += await run_in_one(chosen, own, waiting, deadline)
        if chosen.history:
            break  # the database is no longer empty
    for fault in waiting:
        say(f"{fault.name}: not run")
    return results


async def run_in_one(
    chosen: argparse.Namespace, folder: Path, waiting: list[Fault], deadline: float
) -> list[Result]:
    """Carry out trials in one deployment; take them off the list.

    It ends when a promise is broken, or a trial needs another kind of deployment.
    """
    results: list[Result] = []
    recording = day.recorded_day()
    with_sentinels = waiting[0].needs_sentinels
    kind = SentinelDeployment if with_sentinels else Deployment
    async with kind(
        folder,
        daphne=chosen.daphne,
        history_url=chosen.history,
        redis_program=chosen.redis_program,
    ) as deployment:
        ledger = Ledger()
        url = f"redis://127.0.0.1:{deployment.redis_port}/0"
        if isinstance(deployment, SentinelDeployment):
            url = deployment.url
        publishers = Publishers(
            client=open_client(
                url,
                socket_timeout=PUBLISHER_TIMEOUT_S,
                socket_connect_timeout=PUBLISHER_TIMEOUT_S,
                retry=Retry(NoBackoff(), 0),
            ),
            ledger=ledger,
            rows=day.rows(recording, chosen.seed),
            names=day.names(recording, chosen.seed),
            rate=chosen.rate,
            own_client=lambda: redis.Redis(connection_pool=pool(url)),
        )
        scene = Scene(deployment, publishers, ledger)
        try:
            say(f"publishing {'a recorded day' if recording else 'a made-up market'}")
            await scene.start()
            while waiting and time.monotonic() < deadline:
                if waiting[0].needs_sentinels is not with_sentinels:
                    break
                fault = waiting.pop(0)
                say(f"{fault.name}: {fault.title}, {fault.lasts_s:g} s")
                try:
                    result = await scene.run(fault)
                except (Failed, redis.RedisError) as error:
                    result = Result(fault.name, fault.title, fault.lasts_s, fault.promise)
                    result.findings.add(Kind.NO_RECOVERY, "the service", str(error))
                say(line(result))
                results.append(result)
                if not result.is_kept:
                    say(f"evidence: {keep_evidence(result, scene)}")
                    break
        finally:
            await scene.close()
    return results


def keep_evidence(result: Result, scene: Scene) -> Path:
    """Write what shows a broken promise into a file; return its path."""
    EVIDENCE.mkdir(parents=True, exist_ok=True)
    path = EVIDENCE / f"{time.strftime('%Y%m%d-%H%M%S')}-{result.name}.json"
    logs = {
        service.name: service.log.read_text(errors="replace").splitlines()[-LOG_LINES:]
        for service in scene.deployment.services.values()
    }
    evidence = {
        "result": plain(result),
        "ledger": [str(tick) for tick in scene.ledger.ticks[-2000:]],
        "clients": {
            client.name: {"url": client.url, "frames": list(client.last_frames)}
            for client in scene.clients
        },
        "gaps": [str(gap) for gap in scene.stored.gaps],
        "logs": logs,
    }
    path.write_text(json.dumps(evidence, indent=1, default=str))
    for breach in result.findings.breaches[:10]:
        say(f"  {breach.kind}: {breach.where}: {breach.text}")
    return path


def plain(result: Result) -> dict[str, Any]:
    """Return a result as JSON has it."""
    findings = result.findings
    return {
        "fault": result.name,
        "title": result.title,
        "seconds": result.lasts_s,
        "may_cost": str(result.promise),
        "recovery_s": result.recovery_s,
        "until_back": result.until_back,
        "counts": dict(findings.counts),
        "words": dict(findings.words),
        "breaches": [f"{one.kind}: {one.where}: {one.text}" for one in findings.breaches],
    }


def main() -> None:
    chosen = options()
    if chosen.list:
        for fault in FAULTS.values():
            print(f"{fault.name:24} {fault.title}")
        print(f"{RANDOM:24} two of them at once, chosen by --seed")
        return
    with tempfile.TemporaryDirectory(prefix="chaos-") as name:
        results = run_to_end(run(chosen, Path(name)))
    text = markdown(results)
    print(text)
    if chosen.markdown:
        chosen.markdown.write_text(text + "\n")
    if chosen.json:
        chosen.json.write_text(json.dumps([plain(one) for one in results], indent=1))
    broken = [one.name for one in results if not one.is_kept]
    if broken:
        sys.exit(f"broken promises: {', '.join(broken)}")
