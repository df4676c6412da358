"""manage.py prune_history: delete ticks and candles older than QUOTES_KEEP_HISTORY keeps."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error

from quotes.conf import conf
from quotes.errors import BadRetention
from quotes.history.maintenance.pruner import Pruner
from quotes.history.maintenance.pruning import prune_history
from quotes.history.maintenance.retention import parse_retention
from quotes.history.maintenance.shrinking import shrink
from quotes.runtime.clock import date_of
from quotes.runtime.interrupts import interrupt_on_signals
from quotes.store.clients import probing_client
from quotes.store.redis_clock import redis_clock


class Command(BaseCommand):
    help = (
        "Delete ticks and candles that are older than QUOTES_KEEP_HISTORY keeps, such as "
        "`ticks=90, 1m=400, NFO:ticks=7` (days). `serve` does so by itself."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--keep", help="rules to use instead of QUOTES_KEEP_HISTORY")
        parser.add_argument(
            "--every", type=float, metavar="S", help="go on, every S seconds, until Ctrl-C"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        text = conf.keep_history if options["keep"] is None else options["keep"]
        every_s = options["every"]
        try:
            rules = parse_retention(text)
        except BadRetention as error:
            raise CommandError(f"not pruned: {error}") from error
        if every_s is not None and not every_s > 0:
            raise CommandError(f"--every must be above 0, got {every_s:g}")
        if not rules:
            self.stdout.write("nothing to drop: QUOTES_KEEP_HISTORY has no rule")
            return
        with interrupt_on_signals() as interrupt:
            if every_s is not None:
                Pruner(probing_client(), rules, interrupt=interrupt, every_s=every_s).run()
                return
            try:
                # A clock that is ahead must not delete what is to be kept.
                redis_clock.measure_if_due(probing_client())
                now = redis_clock.earliest_ms()
                report = prune_history(
                    rules=rules, today=date_of(now), now_ms=now, stopped=interrupt
                )
                freed = shrink(stopped=interrupt)
            except Error as error:
                raise CommandError(f"not pruned: {error}") from error
        shrunk = f"; the file is {freed / 1e6:.1f} MB smaller" if freed else ""
        self.stdout.write(
            f"dropped {report.partitions} partitions of ticks, {report.ticks:,} ticks and "
            f"{report.candles:,} candles{shrunk}"
        )
