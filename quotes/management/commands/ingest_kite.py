"""manage.py ingest_kite: take prices from Kite, for all users of this server."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.core.management.base import CommandError, CommandParser
from django.db import DatabaseError
from redis.exceptions import RedisError

from instruments.errors import InstrumentsError
from quotes.errors import QuotesError
from quotes.kite.packets import MODES
from quotes.kite.source.access_token import ENVIRONMENT, AccessToken, NoToken
from quotes.kite.source.ingestion import SILENT_AFTER_S, Ingestion
from quotes.kite.source.selection import Source
from quotes.metrics.collectors.kite import KiteCollector
from quotes.metrics.exporter import exporting
from quotes.publish.patient_publisher import Backpressure, PatientPublisher
from quotes.runtime.command_help import CommandWithExamples
from quotes.runtime.identity import identity
from quotes.runtime.interrupts import interrupt_on_signals
from quotes.runtime.log_lines import counters_reporter
from quotes.store.clients import sync_client
from quotes.store.redis_clock import redis_clock
from quotes.ticks import Tick

KITE_URL = "wss://ws.kite.trade"


class Command(CommandWithExamples):
    help = (
        "Take prices from Kite and publish them, so that one Kite Connect subscription is the "
        "source for all of your users. Instruments are named on the command line, in a file or in "
        "admin (Kite subscriptions), up to 3,000 for each of three connections; changes of the "
        "file, of admin and of the instrument master take effect within seconds. The access token "
        f"is read from --access-token-file, or from {ENVIRONMENT} in the environment; Kite's ends "
        "each morning, and a new one in the file is taken at once. Reconnects by itself; prints a "
        "line of counters every 10 s; SIGTERM publishes what has come and exits (docs/kite.md)."
    )
    examples = (
        ("--api-key KEY --access-token-file token.txt", "what is listed in admin"),
        ('--api-key KEY RELIANCE "NIFTY 50" NFO:NIFTY26DECFUT', "these instruments"),
        ("--api-key KEY --segment NSE_INDEX --mode quote", "all indices of NSE"),
        ("--api-key KEY --file names.txt --list", "those of a file, and those in admin"),
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "instruments",
            nargs="*",
            metavar="NAME",
            help="names of the instrument master, or Kite's instrument tokens",
        )
        parser.add_argument("--api-key", required=True, metavar="KEY", help="of your Kite app")
        parser.add_argument(
            "--access-token-file",
            type=Path,
            metavar="PATH",
            help="a file that holds the access token alone, readable by this user only; "
            f"default: {ENVIRONMENT} in the environment",
        )
        parser.add_argument(
            "--file",
            type=Path,
            metavar="PATH",
            help="names, one on a line; # begins a comment",
        )
        parser.add_argument(
            "--segment",
            action="append",
            default=[],
            metavar="CODE",
            help="all instruments of a segment, such as NSE_INDEX; may be repeated",
        )
        parser.add_argument(
            "--list",
            action="store_true",
            help="the instruments listed in admin, each in its mode; the default without others",
        )
        parser.add_argument(
            "--mode",
            choices=MODES,
            default="full",
            help="what to take of each instrument; full alone has the exchange's time, open "
            "interest and depth; default: full",
        )
        parser.add_argument(
            "--silent-after",
            type=float,
            default=SILENT_AFTER_S,
            metavar="S",
            help="report instruments without a tick for S seconds in market hours; "
            f"default: {SILENT_AFTER_S:g}",
        )
        parser.add_argument(
            "--url",
            default=KITE_URL,
            help=f"of the ticker, also that of another server like this one; default: {KITE_URL}",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        token = AccessToken(options["access_token_file"])
        url = _checked_url(options["url"])
        if not options["silent_after"] > 0:
            raise CommandError(f"--silent-after must be above 0, got {options['silent_after']:g}")
        try:
            token.read()
        except NoToken as error:
            if not token.can_change:
                raise CommandError(f"{error}, or pass --access-token-file") from error
        if warning := token.warning():
            self.stderr.write(warning)
        names, segments = tuple(options["instruments"]), tuple(options["segment"])
        has_others = bool(names or segments or options["file"])
        source = Source(
            names=names,
            segments=segments,
            file=options["file"],
            mode=options["mode"],
            has_list=options["list"] or not has_others,
        )
        with interrupt_on_signals() as interrupt:
            client = sync_client()
            patient = PatientPublisher(client, tell=self.stderr.write, stopped=interrupt)
            publisher = Backpressure(patient, client=client, tell=self.stderr.write)

            def publish(ticks: Sequence[Tick]) -> int:
                redis_clock.measure_if_due(client)
                return publisher(ticks)

            ingestion = Ingestion(
                source,
                url=url,
                api_key=options["api_key"],
                token=token,
                publish=publish,
                report=counters_reporter(self._line),
                tell=counters_reporter(self._line),
                stopped=interrupt,
                silent_after_s=options["silent_after"],
            )
            try:
                with exporting(identity, collect=[KiteCollector(ingestion)]):
                    self._line(asyncio.run(ingestion.run()))
            except DatabaseError as error:
                raise CommandError(
                    f"the database cannot be read: {error}; run manage.py migrate first"
                ) from error
            except (QuotesError, InstrumentsError, RedisError) as error:
                raise CommandError(_with_cure(str(error), source)) from error

    def _line(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()


def _checked_url(text: str) -> str:
    """Return the address of a ticker; raise CommandError, without what may be a secret."""
    try:
        parts = urlsplit(text)
        is_right = parts.scheme in ("ws", "wss") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_right = False
    if not is_right or parts.query or parts.fragment or "@" in parts.netloc:
        raise CommandError(
            "--url must be like wss://ws.kite.trade, or ws://host:port/kite, without credentials"
        )
    return text


def _with_cure(text: str, source: Source) -> str:
    if source.has_list and text.startswith("no instrument"):
        return f"{text}: name some, or add some in admin under Kite subscriptions"
    return text
