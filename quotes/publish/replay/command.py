"""A replay by `manage.py replay_ticks`: its options, and checks before it starts."""

from collections.abc import Mapping
from datetime import date
from datetime import time as time_of_day
from math import isfinite
from typing import Any, TextIO

import redis

from quotes.errors import ReplayRefused, quoted
from quotes.publish.patient_publisher import Backpressure, PatientPublisher
from quotes.publish.publishing import forget_prices
from quotes.publish.replay.checks import NO_BRIDGE, HiddenWatch, bridge_is_running, hidden_reason
from quotes.publish.replay.recordings import Scan, Selection, scan_recording
from quotes.publish.replay.replay import Publish, ReplayPlan, ReplayReport, replay
from quotes.runtime.clock import today_in_india
from quotes.runtime.interrupts import Interrupt
from quotes.runtime.progress import Progress
from quotes.store.redis_clock import redis_clock


def replay_plan(options: Mapping[str, Any]) -> ReplayPlan:
    """Return the plan that the options of `manage.py replay_ticks` describe.

    Raises:
        ReplayRefused: an option is wrong; the text says which.
    """
    start, end = time_option("--from", options["start"]), time_option("--to", options["end"])
    if start is not None and end is not None and start >= end:
        raise ReplayRefused(f"--from must be before --to, got {start} and {end}")
    if options["now"] and options["date"]:
        raise ReplayRefused("use --now or --date, not both")
    names = [name.strip() for text in options["symbols"] or () for name in text.split(",")]
    return ReplayPlan(
        path=options["file"],
        selection=Selection(
            symbols=frozenset(filter(None, names)) if names else None,
            day=date_option("--day", options["day"]),
            start=start,
            end=end,
        ),
        speed=speed_option(options["speed"]),
        onto=date_option("--date", options["date"]),
        now=options["now"],
    )


def speed_option(text: str) -> float | None:
    if text == "max":
        return None
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not isfinite(value) or value <= 0:
        raise ReplayRefused(f"--speed must be max or a number above 0, got {quoted(text)}")
    return value


def time_option(option: str, text: str | None) -> time_of_day | None:
    try:
        value = None if text is None else time_of_day.fromisoformat(text)
    except ValueError:
        raise ReplayRefused(f"{option} must be a time HH:MM, got {quoted(text)}") from None
    if value is not None and value.tzinfo is not None:
        raise ReplayRefused(f"{option} must be an IST time HH:MM, got {quoted(text)}")
    return value


def date_option(option: str, text: str | None) -> date | None:
    if text == "today" or text is None:
        return None if text is None else today_in_india()
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ReplayRefused(f"{option} must be today or YYYY-MM-DD, got {quoted(text)}") from None


def run_replay(
    plan: ReplayPlan,
    *,
    client: redis.Redis,
    interrupt: Interrupt,
    stream: TextIO,
    forget: bool = False,
    anyway: bool = False,
    sink: Publish | None = None,
) -> ReplayReport:
    """Check that clients will be shown a replay, and publish it to Redis.

    Args:
        stream: gets progress and warnings.
        forget: forget the latest prices of the recording's symbols first.
        anyway: publish even ticks that newer prices hide.
        sink: publishes batches elsewhere than to Redis, which is then not used at all.

    Raises:
        BadRecording: the file cannot be replayed.
        ReplayRefused: newer prices hide it, or a symbol is not in it.
        redis.RedisError: Redis failed before anything was published.
    """
    scan = scan_recording(plan.path, plan.selection)
    check_symbols(plan, scan)
    if sink is not None:
        if forget or anyway:
            raise ReplayRefused(
                "--forget and --anyway do not go with --kafka: they are for prices in Redis"
            )
        with Progress(scan.ticks, stream=stream) as progress:
            return replay(plan, scan, publish=sink, interrupt=interrupt, progress=progress)
    redis_clock.measure_if_due(client)
    stamp = plan.stamp(scan)
    if forget:
        count = forget_prices(scan.first, client=client)
        stream.write(f"forgot the latest price of {count} instruments\n")
    if not anyway:
        first = [stamp(tick) for tick in scan.first.values()]
        if reason := hidden_reason(first, client=client):
            raise ReplayRefused(reason)
    if not bridge_is_running(client):
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


def check_symbols(plan: ReplayPlan, scan: Scan) -> None:
    if plan.selection.symbols is not None and (
        missing := plan.selection.symbols - scan.first.keys()
    ):
        raise ReplayRefused(
            f"{plan.path} has no selected ticks of {', '.join(sorted(missing))}: check --symbols"
        )
