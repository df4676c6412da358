"""manage.py serve: everything that a machine needs to serve prices, in one terminal."""

import contextlib
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from quotes.serve.listening import CannotListen
from quotes.serve.processes import SERVERS, ServeOptions
from quotes.serve.redis_probe import RedisUnavailable
from quotes.serve.startup import DatabaseNotReady, serve
from quotes.serve.supervisor import ChildNotReady


class Command(BaseCommand):
    help = (
        "Run the web server, the bridge, the recorder and, when no Redis answers on this machine, "
        "an embedded one. What dies is started again; Ctrl-C ends everything within 5 seconds."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--host",
            default="127.0.0.1",
            help="address to listen on (default: 127.0.0.1, this machine only; 0.0.0.0: all)",
        )
        parser.add_argument(
            "--port", type=int, default=settings.PORT, help=f"default: PORT, {settings.PORT}"
        )
        parser.add_argument(
            "--workers", type=int, default=1, help="web server processes (default: 1)"
        )
        parser.add_argument("--server", choices=SERVERS, default="uvicorn")
        parser.add_argument(
            "--no-bridge", dest="bridge", action="store_false", help="one runs elsewhere"
        )
        parser.add_argument(
            "--no-recorder",
            dest="recorder",
            action="store_false",
            help="one runs elsewhere, or none is wanted",
        )
        parser.add_argument("--demo", action="store_true", help="simulate a market")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["workers"] < 1:
            raise CommandError(f"--workers must be at least 1, was {options['workers']}")
        if not 0 < options["port"] < 65536:
            raise CommandError(f"--port must be from 1 to 65535, was {options['port']}")
        names = ("host", "port", "workers", "server", "bridge", "recorder", "demo")
        with contextlib.suppress(KeyboardInterrupt):
            try:
                serve(ServeOptions(**{name: options[name] for name in names}))
            except (CannotListen, ChildNotReady, DatabaseNotReady, RedisUnavailable) as error:
                raise CommandError(str(error)) from error
