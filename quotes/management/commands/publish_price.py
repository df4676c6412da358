"""manage.py publish_price: publish one price, or many from a file."""

from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec
from django.core.management.base import CommandError, CommandParser
from redis.exceptions import RedisError

from instruments.errors import InstrumentsError
from quotes.depth import depth_text
from quotes.errors import QuotesError
from quotes.kafka.availability import kafka_sink
from quotes.publish.json_lines import publish_price_file, stale_warning
from quotes.publish.publishing import listing_of, publish_ticks, stale_ticks
from quotes.runtime.command_help import CommandWithExamples
from quotes.store.clients import sync_client
from quotes.store.listings import read_master
from quotes.store.redis_clock import redis_clock
from quotes.ticks import KNOWN_FIELDS, make_tick


class Command(CommandWithExamples):
    help = "Publish one price, or many from a file of JSON lines, to all subscribed clients."
    examples = (
        ("AAPL 189.45", ""),
        ("RELIANCE 2950.50 --segment NSE_EQ --volume 120000", ""),
        ("--file ticks.jsonl", "one tick per line, as clients receive it"),
        ("--file -", "lines of standard input, each published at once"),
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("symbol", nargs="?", help="as the exchange writes it: M&M, NIFTY 50")
        parser.add_argument(
            "price", nargs="?", help="in rupees; clients get the digits that you type"
        )
        parser.add_argument(
            "--file", help="a file with one tick as JSON per line; - for standard input"
        )
        parser.add_argument(
            "--timestamp", type=int, help="time of the price in Unix milliseconds; default: now"
        )
        parser.add_argument(
            "--kafka", metavar="TOPIC", help="publish to this topic instead of Redis"
        )
        parser.add_argument("--segment", help="segment of the symbol, such as NSE_EQ or BSE_EQ")
        fields = parser.add_argument_group("more fields of the price, as clients receive them")
        for name in sorted(KNOWN_FIELDS):
            fields.add_argument(f"--{name.replace('_', '-')}", type=Decimal, metavar="N")
        fields.add_argument(
            "--depth",
            metavar="JSON",
            help='{"buy":[{"price":..,"quantity":..,"orders":..}],"sell":[]}',
        )

    def handle(self, *args: Any, **options: Any) -> None:
        single = options["symbol"] is not None and options["price"] is not None
        if single == bool(options["file"]):
            raise CommandError("give SYMBOL and PRICE, or --file FILE (examples: --help)")
        client = sync_client()
        read_master()
        try:
            sink = kafka_sink(options["kafka"]) if options["kafka"] else None
            if sink is None:
                redis_clock.measure_if_due(client)
            if options["file"]:
                report = publish_price_file(
                    options["file"], client=client, warn=self.stderr.write, sink=sink
                )
                self.stdout.write(report.summary)
                if report.bad:
                    raise CommandError(f"{report.bad} invalid lines were not published")
                return
            names = ("symbol", "price", "timestamp", "segment", *KNOWN_FIELDS)
            values = {name: options[name] for name in names}
            if options["depth"] is not None:
                values["depth"] = msgspec.Raw(depth_text(options["depth"].encode()))
            now, ahead_ms = redis_clock.now_ms(), redis_clock.max_ahead_ms()
            tick = make_tick(**values, now_ms=now, ahead_ms=ahead_ms)
            listing_of(tick)
            stale = [] if sink else stale_ticks([tick], client=client)
            if sink:
                sink([tick])
            else:
                publish_ticks([tick], client=client)
        except (QuotesError, InstrumentsError, InvalidOperation, RedisError, OSError) as error:
            raise CommandError(f"not published: {error}") from error
        self.stdout.write(f"published {tick.symbol} {tick.price_text} at {tick.timestamp}")
        for one in stale:
            self.stderr.write(stale_warning(one))
