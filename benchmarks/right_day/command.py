"""Replays a day through the real service while history is edited, and proves all tables.

Starts Redis, a bridge and a recorder, and publishes every tick of a recorded day, with late,
repeated and wrong ticks among them. Beside it, at random moments:

  import_history    ticks and candles, of the day and of days before it
  prune_history     with rules that drop ticks, and candles up to some interval
  rebuild_candles   which must find nothing to repair
  kill -9           of the recorder, which is then started again

In the end every tick, every candle of each interval and the statistics of the day are compared with
those that plain Python computes from the events (expected.py), which shares no code with the
service. `rebuild_candles --check` must prove every candle that can be computed again, and name the
days of all others. Exits with 1 if anything differs; the same seed makes the same plan.
"""

import argparse
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import django

from benchmarks.processes import Failed, free_port
from benchmarks.right_day.days import (
    ABSENT,
    find_recording,
    read_recording,
    synthetic_day,
    thin_out,
)
from benchmarks.right_day.events import PAST, TODAY, Tick
from benchmarks.right_day.expected import Expected
from benchmarks.right_day.plan import Plan
from benchmarks.right_day.service import (
    GRACE_MS,
    Service,
    describe,
    set_own_environment,
)

EXAMPLES = """examples:
  python -m benchmarks.right_day                      the whole day, four to ten minutes
  python -m benchmarks.right_day --short --seed 7     a part of it, a minute
  python -m benchmarks.right_day --postgres           into a PostgreSQL server of its own
  python -m benchmarks.right_day --short --seed 7 --each
                                                      compare after each step: which one was it?
"""


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parse(arguments)
    # Whatever was started is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    try:
        ok = _run(options)
    except Failed as error:
        sys.exit(f"failed: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted")
    print("everything is right" if ok else "something is wrong: run again with --each")
    sys.exit(0 if ok else 1)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.right_day",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "file", type=Path, nargs="?", help="a recorded day; default: that of PRICES_DATA_DIR"
    )
    parser.add_argument("--seed", type=int, default=1, help="of all that is random; default: 1")
    parser.add_argument(
        "--short", action="store_true", help="a tenth of the ticks of eight instruments"
    )
    parser.add_argument("--steps", type=int, help="how many edits; default: 60, short: 15")
    parser.add_argument("--postgres", action="store_true", help="store into PostgreSQL, not SQLite")
    parser.add_argument("--synthetic", action="store_true", help="use no recorded day")
    parser.add_argument("--each", action="store_true", help="compare after each step, and stop")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep logs and database there")
    return parser.parse_args(arguments)


def _ticks(options: argparse.Namespace) -> list[Tick]:
    path = None if options.synthetic else options.file or find_recording()
    if path is None:
        if not options.synthetic:
            print(ABSENT)
        symbols, count = (8, 12_000) if options.short else (25, 100_000)
        return synthetic_day(options.seed, symbols=symbols, ticks=count)
    if not path.is_file():
        raise Failed(f"there is no file {path}")
    ticks = read_recording(path)
    return thin_out(ticks, symbols=8, every=10) if options.short else ticks


def _run(options: argparse.Namespace) -> bool:
    """Run it all; return whether everything is right."""
    ticks = _ticks(options)
    with ExitStack() as stack:
        folder = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise Failed(f"{folder} must be empty: name another folder")
        url = ""
        if options.postgres:
            from tests.postgres import PostgresServer

            server = stack.enter_context(PostgresServer())
            url = server.url(server.create())
        port = free_port()
        set_own_environment(port, folder.absolute(), url)
        django.setup()
        from benchmarks.right_day.tables import stored_count

        service = Service(port, folder.absolute(), seed=options.seed, stored=stored_count)
        return _replay(options, ticks, stack.enter_context(service))


def _replay(options: argparse.Namespace, ticks: list[Tick], service: Service) -> bool:
    steps = options.steps or (15 if options.short else 60)
    plan = Plan(ticks, seed=options.seed, steps=steps)
    expected = Expected(grace_ms=GRACE_MS)
    instruments = len({tick.key for tick in ticks})
    print(
        f"seed {options.seed}: {len(ticks):,} ticks of {instruments} instruments, {steps} steps, "
        f"into {'PostgreSQL' if options.postgres else 'SQLite'}; Python {sys.version.split()[0]}, "
        f"{os.cpu_count()} cores"
    )
    began = time.monotonic()
    for number, step in enumerate(plan.steps(), 1):
        service.publish(step.before)
        service.wait()
        service.edit(step.edit, step.beside, kills=step.kills)
        expected.publish(step.before)
        expected.edit(step.edit)
        expected.publish(step.beside)
        print(
            f"{time.monotonic() - began:6.0f} s  step {number}: {expected.published:,} ticks, "
            f"{describe(step.edit)}{', recorder killed' if step.kills else ''}",
            flush=True,
        )
        if options.each and not _is_right(service, expected):
            return False
    print(", ".join(f"{count:,} {name}" for name, count in sorted(plan.counts.items())))
    right = _is_right(service, expected)
    proved = _is_proved(service, expected)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in service.cpu_s().items())
    print(
        f"{time.monotonic() - began:.0f} s; CPU: {cpu}, commands and killed recorders "
        f"{used.ru_utime + used.ru_stime:.0f} s, this process {time.process_time():.0f} s"
    )
    return right and proved


def _is_right(service: Service, expected: Expected) -> bool:
    """Compare, once all is stored; the statistics of the day follow a moment later."""
    from benchmarks.right_day.tables import compare, day_statistics

    service.wait()
    deadline = time.monotonic() + 15
    while True:
        found = compare(expected, day_statistics(service.client))
        if not found.differences or time.monotonic() > deadline:
            break
        time.sleep(0.5)
    for line in found.lines():
        print(line)
    return not found.differences


def _is_proved(service: Service, expected: Expected) -> bool:
    """Have `rebuild_candles --check` prove what can be proved, and name the rest."""
    first = min([day for _, day in expected.days] + [PAST[0]])
    try:
        text = service.command(
            "rebuild_candles", "--from", str(first), "--to", str(TODAY), "--check"
        )
    except Failed as error:
        print(error)
        return False
    print(text.strip().splitlines()[-1])
    lines = [line for line in text.splitlines() if "cannot be checked: " in line]
    found = {line.partition(": their ticks")[0] for line in lines}
    wanted = expected.unproved()
    for line in sorted(wanted ^ found)[:20]:
        print(f"{'not named' if line in wanted else 'named, but not expected'}: {line}")
    return wanted == found
