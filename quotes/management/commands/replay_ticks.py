"""manage.py replay_ticks: publish a recorded day again."""

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from redis.exceptions import RedisError

from quotes.errors import QuotesError
from quotes.kafka.availability import kafka_sink
from quotes.publish.replay.command import replay_plan, run_replay
from quotes.runtime.command_help import CommandWithExamples
from quotes.runtime.interrupts import interrupt_on_signals
from quotes.store.clients import sync_client
from quotes.store.listings import read_master


class Command(CommandWithExamples):
    help = (
        "Publish recorded ticks again from a CSV file, plain or gzipped, with the columns "
        "timestamp,symbol,ltp,volume (IST times, rupees). Ctrl-C stops it after the current batch."
    )
    examples = (
        ("day.csv.gz --now", "at the recorded pace, as if today"),
        ('day.csv.gz --now --speed 10 --symbols RELIANCE "NIFTY 50" --from 09:15 --to 10:00', ""),
        ("day.csv.gz --speed max --forget", "all of it, with the recorded times"),
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="the recording")
        parser.add_argument("--speed", default="1", help="times real time, or max; default: 1")
        parser.add_argument("--symbols", nargs="+", metavar="A,B", help="only these symbols")
        parser.add_argument(
            "--day", metavar="DATE", help="only ticks recorded on this date, YYYY-MM-DD"
        )
        parser.add_argument(
            "--from", dest="start", metavar="HH:MM", help="only from this IST time on"
        )
        parser.add_argument("--to", dest="end", metavar="HH:MM", help="only before this IST time")
        parser.add_argument("--date", help="move the first day to this date: today or YYYY-MM-DD")
        parser.add_argument(
            "--now", action="store_true", help="publish each tick with the present time"
        )
        parser.add_argument(
            "--forget", action="store_true", help="first forget the latest prices of these symbols"
        )
        parser.add_argument(
            "--anyway", action="store_true", help="publish even ticks that newer prices hide"
        )
        parser.add_argument(
            "--kafka", metavar="TOPIC", help="publish to this topic instead of Redis"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        read_master()
        try:
            plan = replay_plan(options)
            with interrupt_on_signals() as interrupt:
                report = run_replay(
                    plan,
                    client=sync_client(),
                    interrupt=interrupt,
                    stream=sys.stderr,
                    forget=options["forget"],
                    anyway=options["anyway"],
                    sink=kafka_sink(options["kafka"], interrupt) if options["kafka"] else None,
                )
        except (QuotesError, RedisError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(report.summary)
