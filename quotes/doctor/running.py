"""Running checks side by side, each with a deadline: the whole ends within seconds.

A check that hangs, as on a database that answers nothing, is left behind in its thread and named.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from django.conf import settings
from django.db import DatabaseError, connections

from quotes.doctor.deployment import Deployment
from quotes.doctor.findings import Finding, Result, error
from quotes.runtime.redaction import scrub

DEADLINE_S = 6.0


class Check(NamedTuple):
    """One check.

    Attributes:
        name: as `--only` takes it.
        about: what it looks at, for `--help`.
        run: yields what it finds; it may raise and it may hang.
    """

    name: str
    about: str
    run: Callable[[Deployment], Iterable[Finding]]


def run_checks(
    checks: Sequence[Check], deployment: Deployment, *, deadline_s: float = DEADLINE_S
) -> Iterator[Result]:
    """Run the checks at the same time; yield what they find, in their order.

    Args:
        deadline_s: seconds after which what still runs is given up.
    """
    runs = [_Run(check, deployment) for check in checks]
    until = time.monotonic() + deadline_s
    for run in runs:
        for finding in run.findings(max(0.0, until - time.monotonic()), deadline_s):
            yield Result(run.check.name, finding)


class _Run:
    """One check in a thread of its own, which the end of the process does not wait for."""

    def __init__(self, check: Check, deployment: Deployment) -> None:
        self.check = check
        self._deployment = deployment
        self._found: list[Finding] = []
        self._thread = threading.Thread(target=self._run, name=check.name, daemon=True)
        self._thread.start()

    def findings(self, timeout_s: float, deadline_s: float) -> list[Finding]:
        """Return what was found within the time, and whether the check ended."""
        self._thread.join(timeout_s)
        found = list(self._found)
        if self._thread.is_alive():
            found.append(
                error(
                    f"the check did not end within {deadline_s:g} s",
                    "look at the other lines: a server that it talks to hangs",
                )
            )
        return found

    def _run(self) -> None:
        try:
            for one in self.check.run(self._deployment):
                self._found.append(one)
        except DatabaseError as problem:
            self._found.append(
                error(
                    f"could not be checked ({_first_line(problem)})",
                    "see the lines of migrations and databases",
                )
            )
        except Exception as problem:
            self._found.append(
                error(f"could not be checked ({_first_line(problem)})", "correct that first")
            )
        finally:
            connections.close_all()


def _first_line(problem: Exception) -> str:
    """Return the kind of an error and its text, which may quote a URL with its password."""
    text = f"{type(problem).__name__}: {problem}".splitlines()[0]
    return without_passwords(scrub(text))[:300]


def without_passwords(text: str) -> str:
    """Return a text in which the passwords of the deployment's URLs are hidden."""
    for secret in _secrets():
        text = text.replace(secret, "[hidden]")
    return text


def _secrets() -> set[str]:
    found = {settings.SECRET_KEY}
    for url in (settings.REDIS_URL, settings.DATABASE_URL, settings.HISTORY_DATABASE_URL):
        try:
            parts = urlsplit(url)
            password = parts.password or ""
        except ValueError:
            continue
        found |= {password, unquote(password)}
        # As a socket's URL has it, or that of Sentinels.
        found |= {value for name, value in parse_qsl(parts.query) if name.endswith("password")}
    return {one for one in found if len(one) >= 3}
