"""manage.py serve: everything that a machine needs to serve prices, in one terminal."""

import contextlib
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from quotes.metrics.exporter import exporting
from quotes.runtime.command_help import CommandWithExamples
from quotes.runtime.identity import identity
from quotes.serve.leftovers import LeftOver
from quotes.serve.listening import CannotListen
from quotes.serve.processes import SERVERS, ServeOptions
from quotes.serve.redis_probe import RedisUnavailable
from quotes.serve.startup import DatabaseNotReady, serve
from quotes.serve.supervisor import ChildNotReady


class Command(CommandWithExamples):
    help = (
        "Run everything that a machine needs to serve prices: the web server, the bridge, the "
        "recorder and, if no Redis answers on this machine, an embedded one. Processes that die "
        "are restarted; Ctrl-C stops all of them: clients get QUOTES_DRAIN_S to connect elsewhere."
    )
    examples = (
        ("", "this machine only, at PORT"),
        ("--demo", "with a simulated market"),
        ("--host 0.0.0.0", "other machines may connect (set ALLOWED_HOSTS)"),
        ("--workers 4", "four web servers on one port"),
        ("--no-bridge", "the bridge runs on another machine"),
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--host",
            default="localhost",
            help="address to listen on; default: localhost, this machine only; 0.0.0.0: all",
        )
        parser.add_argument(
            "--port",
            type=int,
            default=settings.PORT,
            help=f"port to listen on; default: PORT, now {settings.PORT}",
        )
        parser.add_argument(
            "--workers", type=int, default=1, help="number of web server processes; default: 1"
        )
        parser.add_argument(
            "--server", choices=SERVERS, default="uvicorn", help="web server; default: uvicorn"
        )
        parser.add_argument(
            "--no-bridge",
            dest="bridge",
            action="store_false",
            help="run no bridge: another machine does",
        )
        parser.add_argument(
            "--no-recorder",
            dest="recorder",
            action="store_false",
            help="run no recorder: another machine does, or no history is wanted",
        )
        parser.add_argument("--demo", action="store_true", help="also run a simulated market")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["workers"] < 1:
            raise CommandError(f"--workers must be at least 1, got {options['workers']}")
        if not 0 < options["port"] < 65536:
            raise CommandError(f"--port must be from 1 to 65535, got {options['port']}")
        names = ("host", "port", "workers", "server", "bridge", "recorder", "demo")
        with contextlib.suppress(KeyboardInterrupt):
            try:
                with exporting(identity):
                    serve(ServeOptions(**{name: options[name] for name in names}))
            except (
                *(CannotListen, ChildNotReady, DatabaseNotReady),
                *(LeftOver, RedisUnavailable),
            ) as error:
                raise CommandError(str(error)) from error
