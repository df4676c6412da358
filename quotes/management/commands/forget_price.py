"""manage.py forget_price: let the streams of symbols start over."""

from typing import Any

from django.core.management.base import CommandError, CommandParser
from redis.exceptions import RedisError

from instruments.errors import InstrumentsError
from quotes.publish.publishing import forget_all_prices, forget_prices
from quotes.runtime.command_help import CommandWithExamples
from quotes.store.clients import sync_client
from quotes.store.listings import read_master


class Command(CommandWithExamples):
    help = (
        "Forget the latest price of symbols, so that the next tick is shown whatever its time. A "
        "tick older than the latest price is not shown otherwise: use this before you replay an "
        "older day, or after a price with a time in the future."
    )
    examples = (
        ('RELIANCE "NIFTY 50"', ""),
        ("--all", "every symbol"),
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("symbols", nargs="*", metavar="SYMBOL", help="as it is published")
        parser.add_argument("--all", action="store_true", help="forget the prices of all symbols")

    def handle(self, *args: Any, **options: Any) -> None:
        if bool(options["symbols"]) == options["all"]:
            raise CommandError("give one or more symbols, or --all (examples: --help)")
        read_master()
        try:
            if options["all"]:
                count = forget_all_prices(client=sync_client())
            else:
                count = forget_prices(options["symbols"], client=sync_client())
        except (RedisError, InstrumentsError) as error:
            raise CommandError(f"nothing forgotten: {error}") from error
        self.stdout.write(f"forgot the latest price of {count} instruments")
