"""manage.py prune_history: delete ticks and candles older than QUOTES_KEEP_HISTORY keeps."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error

from quotes.conf import conf
from quotes.errors import BadRetention
from quotes.history.maintenance.pruning import prune_history
from quotes.history.maintenance.retention import parse_retention
from quotes.runtime.clock import date_of
from quotes.store.clients import probing_client
from quotes.store.redis_clock import redis_clock


class Command(BaseCommand):
    help = (
        "Delete ticks and candles that are older than QUOTES_KEEP_HISTORY keeps, such as "
        "`ticks=90, 1m=400, NFO:ticks=7` (days). Run it once a day."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--keep", help="rules to use instead of QUOTES_KEEP_HISTORY")

    def handle(self, *args: Any, **options: Any) -> None:
        text = conf.keep_history if options["keep"] is None else options["keep"]
        try:
            rules = parse_retention(text)
            # A clock that is ahead must not delete what is to be kept.
            redis_clock.measure_if_due(probing_client())
            report = prune_history(rules=rules, today=date_of(redis_clock.earliest_ms()))
        except (BadRetention, Error) as error:
            raise CommandError(f"not pruned: {error}") from error
        self.stdout.write(
            f"dropped {report.partitions} partitions of ticks, {report.ticks:,} ticks and "
            f"{report.candles:,} candles"
            if rules
            else "nothing to drop: QUOTES_KEEP_HISTORY has no rule"
        )
