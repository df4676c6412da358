"""Migrations: whether both databases have what this release needs."""

from collections.abc import Iterator

from quotes.doctor.deployment import Deployment
from quotes.doctor.findings import Finding, Level, from_sentence, ok
from quotes.serve.startup import DATABASES, DatabaseNotReady, check_migrations


def check_migrations_of_all(deployment: Deployment) -> Iterator[Finding]:
    """Check each database."""
    is_well = True
    for alias, setting, command in DATABASES:
        try:
            check_migrations(alias, setting, command)
        except DatabaseNotReady as problem:
            is_well = False
            yield from_sentence(Level.ERROR, str(problem), f"run `{command}`")
    if is_well:
        yield ok("all are applied")
