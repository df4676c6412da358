"""manage.py get_charts: install the file that draws the dashboard's charts."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from quotes.screens.chart_library import (
    PACKAGE,
    PLACE,
    VERSION,
    ChartsError,
    get_charts,
    is_complete,
)


class Command(BaseCommand):
    help = (
        f"Install lightweight-charts {VERSION}, which draws the dashboard's charts. pip gets it "
        f"in the Python package {PACKAGE}; its mirror and proxy settings apply."
    )
    # Needs neither Redis nor a database that works.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--file",
            type=Path,
            help="take the file, or the wheel that holds it, from this path instead of a registry",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if is_complete():
            self.stdout.write(f"lightweight-charts {VERSION} is installed")
            return
        try:
            get_charts(source=options["file"])
        except ChartsError as error:
            raise CommandError(
                f"{error}\nThe dashboard works, without charts. To bring them, run "
                "`manage.py get_charts` with a network, or with `--file` and the wheel."
            ) from error
        after = "run `manage.py collectstatic`, then restart" if settings.STATIC_ROOT else "restart"
        self.stdout.write(
            f"installed lightweight-charts {VERSION} as {PLACE}; {after} a server that runs"
        )
