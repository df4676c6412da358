"""manage.py doctor: check a deployment, and say what to do about what is wrong."""

import logging
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from quotes.doctor.checks import CHECKS, NAMES
from quotes.doctor.deployment import Deployment
from quotes.doctor.findings import Result, worst
from quotes.doctor.printing import as_json, lines, summary
from quotes.doctor.public_side import BadAddress, parse_url
from quotes.doctor.running import DEADLINE_S, run_checks
from quotes.runtime.command_help import CommandWithExamples

_LONGEST_TOKEN = 10_000
_PUBLIC_DEADLINE_S = 15.0
# A file, a pipe or a log has no width.
_PLAIN_WIDTH = 110


class Command(CommandWithExamples):
    help = (
        "Check this deployment: settings, databases, Redis, clocks, processes, calendar and more. "
        "Each problem comes with an instruction. Nothing is changed and no secret is shown. It "
        "ends within seconds, even if Redis or a database hangs. Exit code: 0 all is well, "
        "1 warnings, 2 errors."
    )
    examples = (
        ("", "everything, on this machine"),
        ("--only redis,clocks", "two checks"),
        ("--url https://prices.example.com", "the public side, too"),
        ("--only url --url https://prices.example.com", "that alone, from any machine"),
        ("--json", "for programs"),
    )
    # A deployment that is not well is what this is for.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--only",
            action="append",
            default=[],
            metavar="NAME,...",
            help="only these checks: "
            + "; ".join(f"{check.name} ({check.about})" for check in CHECKS),
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        parser.add_argument(
            "--url",
            default="",
            help="the address that clients use; opens a WebSocket there and waits for a price",
        )
        parser.add_argument(
            "--symbol", default="", help="with --url: the symbol to wait for; default: any"
        )
        parser.add_argument(
            "--token-file",
            type=Path,
            metavar="FILE",
            help="with --url: a file with an access token or API key; - for standard input",
        )
        parser.add_argument(
            "--deadline",
            type=float,
            metavar="S",
            help=f"seconds for all checks; default: {DEADLINE_S:g}, "
            f"with --url {_PUBLIC_DEADLINE_S:g}",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        names = _names(options["only"])
        checks = [one for one in CHECKS if not names or one.name in names]
        if options["url"]:
            try:
                parse_url(options["url"])
            except BadAddress as problem:
                raise CommandError(str(problem), returncode=2) from problem
        elif "url" in names:
            raise CommandError("--only url needs --url https://...", returncode=2)
        else:
            checks = [one for one in checks if one.name != "url"]
        deadline_s = options["deadline"]
        if deadline_s is None:
            deadline_s = _PUBLIC_DEADLINE_S if options["url"] else DEADLINE_S
        if not 0 < deadline_s <= 600:
            raise CommandError(
                f"--deadline must be above 0 and at most 600, got {deadline_s:g}", returncode=2
            )
        deployment = Deployment(
            url=options["url"], symbol=options["symbol"], token=_token(options["token_file"])
        )
        with _quiet():
            found = run_checks(checks, deployment, deadline_s=deadline_s)
            if options["json"]:
                results = list(found)
                self.stdout.write(as_json(results))
            else:
                results = []
                for result in found:  # each as soon as it is there
                    results.append(result)
                    self._print(result)
                self.stdout.write(summary(results))
        if level := worst(finding for _, finding in results):
            self.stdout.flush()
            sys.exit(int(level))

    def _print(self, result: Result) -> None:
        is_terminal = self.stdout.isatty()
        width = shutil.get_terminal_size().columns if is_terminal else _PLAIN_WIDTH
        is_coloured = is_terminal and self.style.ERROR("a") != "a"
        for line in lines(result, width=width, is_coloured=is_coloured):
            self.stdout.write(line)
        self.stdout.flush()


def _names(only: list[str]) -> set[str]:
    names = {one.strip() for text in only for one in text.split(",") if one.strip()}
    if unknown := names - set(NAMES):
        raise CommandError(
            f"--only must name checks out of {', '.join(NAMES)}, got {', '.join(sorted(unknown))}",
            returncode=2,
        )
    return names


def _token(file: Path | None) -> str:
    if file is None:
        return ""
    try:
        text = sys.stdin.read(_LONGEST_TOKEN) if str(file) == "-" else file.read_text()
    except (OSError, ValueError) as problem:
        raise CommandError(f"--token-file cannot be read: {problem}", returncode=2) from problem
    token = text.strip()
    if not token or len(token) > _LONGEST_TOKEN or not token.isascii() or not token.isprintable():
        raise CommandError("--token-file must hold one token or API key", returncode=2)
    return token


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep log lines out of the table: the checks say the same, in order."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
