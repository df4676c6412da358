"""manage.py publish_price: publish one price, or many from a file."""

from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from redis.exceptions import RedisError

from quotes.errors import QuotesError
from quotes.kafka.availability import kafka_sink
from quotes.publish.json_lines import publish_price_file, stale_warning
from quotes.publish.publishing import publish_ticks, stale_ticks
from quotes.runtime.clock import now_ms
from quotes.store.clients import sync_client
from quotes.ticks import KNOWN_FIELDS, make_tick

EXAMPLES = """
examples:
  publish_price AAPL 189.45
  publish_price RELIANCE 2950.50 --segment NSE_EQ --volume 120000
  publish_price --file ticks.jsonl      one tick a line, as clients would receive it
  tail -f ticks.jsonl | python manage.py publish_price --file -
"""


class Command(BaseCommand):
    help = "Publish one price, or many from a file, to every client that is subscribed." + EXAMPLES

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("symbol", nargs="?", help="as the exchange writes it: M&M, NIFTY 50")
        parser.add_argument("price", nargs="?", help="rupees, with the digits that clients get")
        parser.add_argument("--file", help="a file of JSON lines, - for standard input")
        parser.add_argument("--timestamp", type=int, help="Unix milliseconds; now if left out")
        parser.add_argument("--kafka", metavar="TOPIC", help="publish to this topic, not to Redis")
        parser.add_argument("--segment", help="a segment's code, such as NSE_EQ or BSE_EQ")
        for name in sorted(KNOWN_FIELDS):
            parser.add_argument(f"--{name.replace('_', '-')}", type=Decimal, metavar="N")

    def handle(self, *args: Any, **options: Any) -> None:
        single = options["symbol"] is not None and options["price"] is not None
        if single == bool(options["file"]):
            raise CommandError("give SYMBOL and PRICE, or --file FILE (see --help)")
        client = sync_client()
        try:
            sink = kafka_sink(options["kafka"]) if options["kafka"] else None
            if options["file"]:
                report = publish_price_file(
                    options["file"], client=client, warn=self.stderr.write, sink=sink
                )
                self.stdout.write(report.summary)
                if report.bad:
                    raise CommandError(f"{report.bad} lines are no ticks")
                return
            names = ("symbol", "price", "timestamp", "segment", *KNOWN_FIELDS)
            now = now_ms()
            tick = make_tick(**{name: options[name] for name in names}, now_ms=now)
            stale = [] if sink else stale_ticks([tick], client=client)
            if sink:
                sink([tick])
            else:
                publish_ticks([tick], client=client)
        except (QuotesError, InvalidOperation, RedisError, OSError) as error:
            raise CommandError(f"not published: {error}") from error
        self.stdout.write(f"published {tick.symbol} {tick.price_text} at {tick.timestamp}")
        for one in stale:
            self.stderr.write(stale_warning(one))
