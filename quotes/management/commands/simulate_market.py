"""manage.py simulate_market: publish a simulated market until Ctrl-C."""

from collections.abc import Iterable
from contextlib import suppress
from datetime import date, timedelta
from typing import Any

import redis
from django.core.management.base import CommandError, CommandParser
from django.db import DatabaseError
from redis.exceptions import RedisError

from instruments.loading import load_hours
from quotes.conf import conf
from quotes.errors import BadTick
from quotes.history.candles.sessions import calendars
from quotes.publish.patient_publisher import PatientPublisher
from quotes.publish.simulation.feed import simulate
from quotes.publish.simulation.market import SimulatedMarket
from quotes.publish.simulation.past import closing_moves, closing_price
from quotes.runtime.clock import midnight_of, now_ms, today_in_india
from quotes.runtime.command_help import CommandWithExamples
from quotes.runtime.interrupts import interrupt_on_signals
from quotes.store.clients import sync_client
from quotes.store.names import stock_key
from quotes.ticks import Tick, parse_tick

MAX_RATE = 20_000
_LONGEST_BREAK_DAYS = 15


class Command(CommandWithExamples):
    help = (
        "Publish made-up prices of some 130 Indian shares, indices, futures and options until "
        "Ctrl-C. They start where `simulate_history` ends, go on where a market before stopped on "
        "the same day, and move together, on their tick sizes, as a market does."
    )
    examples = (
        ("", ""),
        ('--rate 2000 --symbols RELIANCE,TCS "NIFTY 50"', ""),
        ("--seed 7 --duration 60", "the same first prices each time, for a minute"),
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--rate",
            type=float,
            default=100,
            help="ticks per second over all instruments; default: 100",
        )
        parser.add_argument("--symbols", nargs="+", metavar="A,B", help="only these symbols")
        parser.add_argument(
            "--seed", type=int, help="the same seed starts a day with the same prices"
        )
        parser.add_argument(
            "--duration",
            type=float,
            metavar="S",
            help="stop after S seconds; default: run until Ctrl-C",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        rate, duration_s = options["rate"], options["duration"]
        if not 0 < rate <= MAX_RATE:
            raise CommandError(f"--rate must be above 0 and at most {MAX_RATE}, got {rate:g}")
        if duration_s is not None and not duration_s > 0:
            raise CommandError(f"--duration must be above 0, got {duration_s:g}")
        names = [name.strip() for text in options["symbols"] or () for name in text.split(",")]
        try:
            today = today_in_india()
            before = _last_session(today)
            market = SimulatedMarket(
                today,
                rate=rate,
                symbols=names or None,
                seed=options["seed"],
                moves=closing_moves(before),
                closes=lambda instrument: closing_price(instrument, before),
            )
        except ValueError as error:
            raise CommandError(str(error)) from error
        with interrupt_on_signals() as interrupt:
            client = sync_client()
            if options["seed"] is None:
                market.resume(_last_ticks(market.quotes, client))
            publisher = PatientPublisher(client, tell=self.stderr.write, stopped=interrupt)
            self.stdout.write(f"simulating {len(market.quotes)} instruments at {rate:g} ticks/s")
            self.stdout.flush()
            try:
                published = simulate(
                    market, publish=publisher, interrupt=interrupt, duration_s=duration_s
                )
            except RedisError as error:
                raise CommandError(str(error)) from error
        self.stdout.write(f"published {published:,} ticks")


def _last_ticks(symbols: Iterable[str], client: redis.Redis) -> list[Tick]:
    """Return the ticks that a market before this one left in Redis; none while it is down."""
    ticks = []
    try:
        values = client.mget([stock_key(symbol) for symbol in symbols])
    except RedisError:
        return []  # the publisher waits for it
    for value in values:
        with suppress(BadTick):
            if isinstance(value, bytes):
                ticks.append(parse_tick(value, now_ms=now_ms(), ahead_ms=conf.max_ahead_ms))
    return ticks


def _last_session(today: date) -> date:
    """Return the day before today on which NSE traded last: `simulate_history` ends with it."""
    yesterday = today - timedelta(days=1)
    try:
        calendar = calendars(load_hours()).get("NSE_EQ")
    except DatabaseError:
        return yesterday  # prices need no database
    days = (today - timedelta(days=back) for back in range(1, _LONGEST_BREAK_DAYS))
    trading = (day for day in days if calendar and calendar.day(midnight_of(day)))
    return next(trading, yesterday)
