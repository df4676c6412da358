"""A replay into Redis as a person asks for it: options, checks before it starts, outages."""

from collections.abc import Mapping
from datetime import date
from datetime import time as time_of_day
from math import isfinite
from typing import Any, TextIO

import redis

from quotes.errors import ReplayRefused, quoted
from quotes.publish.patient_publisher import Backpressure, PatientPublisher
from quotes.publish.publishing import forget_prices
from quotes.publish.replay.checks import NO_BRIDGE, HiddenWatch, bridge_works, refusal
from quotes.publish.replay.recordings import Scan, Selection, scan_recording
from quotes.publish.replay.replay import Plan, Publish, ReplayReport, replay
from quotes.runtime.clock import today_in_india
from quotes.runtime.interrupts import Interrupt
from quotes.runtime.progress import Progress


def plan_of(options: Mapping[str, Any]) -> Plan:
    """Return the plan that the options of `manage.py replay_ticks` describe.

    Raises:
        ReplayRefused: an option is wrong; the text says which and how.
    """
    start, end = moment("--from", options["start"]), moment("--to", options["end"])
    if start is not None and end is not None and start >= end:
        raise ReplayRefused(f"--from must be before --to, was {start} and {end}")
    if options["now"] and options["date"]:
        raise ReplayRefused("give --now or --date, not both")
    names = [name.strip() for text in options["symbols"] or () for name in text.split(",")]
    return Plan(
        path=options["file"],
        selection=Selection(
            symbols=frozenset(filter(None, names)) if names else None,
            day=day("--day", options["day"]),
            start=start,
            end=end,
        ),
        speed=speed(options["speed"]),
        onto=day("--date", options["date"]),
        now=options["now"],
    )


def speed(text: str) -> float | None:
    if text == "max":
        return None
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not isfinite(value) or value <= 0:
        raise ReplayRefused(f"--speed must be max or a number above 0, was {quoted(text)}")
    return value


def moment(option: str, text: str | None) -> time_of_day | None:
    try:
        value = None if text is None else time_of_day.fromisoformat(text)
    except ValueError:
        raise ReplayRefused(f"{option} must be a time HH:MM, was {quoted(text)}") from None
    if value is not None and value.tzinfo is not None:
        raise ReplayRefused(f"{option} must be an IST time HH:MM, was {quoted(text)}")
    return value


def day(option: str, text: str | None) -> date | None:
    if text == "today" or text is None:
        return None if text is None else today_in_india()
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ReplayRefused(f"{option} must be today or YYYY-MM-DD, was {quoted(text)}") from None


def run_replay(
    plan: Plan,
    *,
    client: redis.Redis,
    interrupt: Interrupt,
    stream: TextIO,
    forget: bool = False,
    anyway: bool = False,
    sink: Publish | None = None,
) -> ReplayReport:
    """Check that a replay would be seen, and publish it into Redis.

    Args:
        stream: where progress and warnings go.
        forget: let the streams of the recording's symbols start over.
        anyway: publish even what newer prices hide.
        sink: takes the ticks instead of Redis, of which nothing is asked then.

    Raises:
        BadRecording: the file cannot be replayed.
        ReplayRefused: it would not be seen, or a symbol is not in it.
        redis.RedisError: Redis is away before anything was published.
    """
    scan = scan_recording(plan.path, plan.selection)
    check_symbols(plan, scan)
    if sink is not None:
        if forget or anyway:
            raise ReplayRefused("--forget and --anyway are for Redis and do not go with --kafka")
        with Progress(scan.ticks, stream=stream) as progress:
            return replay(plan, scan, publish=sink, interrupt=interrupt, progress=progress)
    stamp = plan.stamp(scan)
    if forget:
        count = forget_prices(scan.first, client=client)
        stream.write(f"forgot the latest price of {count} instruments\n")
    if not anyway:
        first = [stamp(tick) for tick in scan.first.values()]
        if reason := refusal(first, client=client):
            raise ReplayRefused(reason)
    if not bridge_works(client):
        stream.write(f"warning: {NO_BRIDGE}\n")
    with Progress(scan.ticks, stream=stream) as progress:
        publisher = PatientPublisher(client, tell=progress.tell, stopped=interrupt)
        return replay(
            plan,
            scan,
            publish=HiddenWatch(
                Backpressure(publisher, client=client, tell=progress.tell),
                client=client,
                tell=progress.tell,
            ),
            interrupt=interrupt,
            progress=progress,
        )


def check_symbols(plan: Plan, scan: Scan) -> None:
    if plan.selection.symbols is not None and (
        missing := plan.selection.symbols - scan.first.keys()
    ):
        raise ReplayRefused(f"no selected tick of {', '.join(sorted(missing))} in {plan.path}")
