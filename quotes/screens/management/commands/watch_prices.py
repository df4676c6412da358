"""manage.py watch_prices: live prices in the terminal."""

import asyncio
import logging
import os
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from quotes.runtime.command_help import CommandWithExamples
from quotes.screens.terminal.client_library import make_importable

TOKEN = "LIVE_PRICE_TOKEN"  # noqa: S105 - the name of a variable


class Command(CommandWithExamples):
    help = (
        "Show live prices in the terminal, as any client gets them. "
        "Where the output is no terminal, print a line for each price."
    )
    examples = (
        ("RELIANCE 'NIFTY 50'", "a table; Ctrl-C ends it"),
        ("RELIANCE --json | jq .price", "each price as a line of JSON, with all fields"),
        ("RELIANCE --json --count 1", "one price, and then the end"),
        ("TCS --url wss://prices.example.com", "of another server"),
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "symbols", nargs="+", metavar="SYMBOL", help="any name: RELIANCE, 'NIFTY 50', NSE:M&M"
        )
        parser.add_argument("--segment", default="", help="the segment of bare names, as NSE_EQ")
        parser.add_argument(
            "--url", help="of the server, as ws://host:5000; default: this one, at PORT"
        )
        parser.add_argument(
            "--token",
            help=(
                "an access token or API key. Other users of this machine can read arguments: "
                f"set {TOKEN} in the environment instead"
            ),
        )
        parser.add_argument("--json", action="store_true", help="print each price as JSON")
        parser.add_argument(
            "--count", type=int, default=0, metavar="N", help="end after N prices; default: never"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        make_importable()
        from live_price import AuthenticationError, PriceError

        from quotes.screens.terminal.watching import Wanted, watch

        if options["count"] < 0:
            raise CommandError(f"--count must be 0 or more, got {options['count']}")
        wanted = Wanted(
            url=options["url"] or f"ws://127.0.0.1:{settings.PORT}",
            names=list(dict.fromkeys(options["symbols"])),
            token=options["token"] or os.environ.get(TOKEN) or None,
            segment=options["segment"],
            as_json=options["json"],
            count=options["count"],
        )
        # The table and standard error say the same.
        log = logging.getLogger("live_price")
        level = log.level
        log.setLevel(logging.CRITICAL)
        try:
            asyncio.run(watch(wanted, sys.stdout))
        except AuthenticationError as error:
            raise CommandError(f"{error}; set {TOKEN} to an access token or API key") from error
        except (PriceError, ValueError) as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            pass
        finally:
            log.setLevel(level)
            _forget_closed_output()


def _forget_closed_output() -> None:
    """Let the interpreter end without an error for a pipe that nobody reads."""
    try:
        sys.stdout.flush()
    except (BrokenPipeError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
