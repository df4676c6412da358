"""Schemas: which migrations a database has, and bringing an empty one to those of a backup."""

from collections.abc import Iterable
from typing import Any

from django.core.management import call_command
from django.db import DatabaseError, connections
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader

from quotes.backup.manifest import Manifest
from quotes.errors import BadBackup, RestoreRefused
from quotes.history.router import ALIAS as HISTORY

# Alias -> its setting.
DATABASES = {"default": "DATABASE_URL", HISTORY: "HISTORY_DATABASE_URL"}

_Node = tuple[str, str]


def last_migrations(alias: str) -> dict[str, list[str]]:
    """Return the last migrations of each app in a database that is up to date.

    Raises:
        RestoreRefused: the database cannot be used, or lacks migrations.
    """
    executor = _executor(alias)
    nodes = _own(alias, executor.loader.graph.leaf_nodes())
    if executor.migration_plan(nodes):
        raise RestoreRefused(
            f"the database of {DATABASES[alias]} is not up to date: run `manage.py migrate"
            f"{'' if alias == 'default' else f' --database {alias}'}`"
        )
    found: dict[str, list[str]] = {}
    for app, name in nodes:
        found.setdefault(app, []).append(name)
    return found


def check_versions(manifest: Manifest) -> None:
    """Raise BadBackup if a backup has migrations that this version does not have."""
    graph = MigrationLoader(None).graph  # of the code: no database is opened
    for found in manifest.migrations.values():
        for app, names in found.items():
            for name in names:
                if (app, name) not in graph.nodes:
                    raise BadBackup(
                        f"the backup was made by a later version ({manifest.version or 'unknown'}"
                        f", migration {app}.{name}): restore it with that version"
                    )


def check_ahead(manifest: Manifest) -> None:
    """Raise RestoreRefused if a database has migrations that the backup's schema does not have."""
    executor = _executor("default")
    wanted = _closure(executor, manifest)
    ahead = [
        node
        for node in executor.loader.applied_migrations
        if node in executor.loader.graph.nodes and node[0] != HISTORY and node not in wanted
    ]
    if ahead:
        app, name = min(ahead)
        raise RestoreRefused(
            f"the backup is older than the database, which has the migration {app}.{name}: "
            "name a new, empty database in DATABASE_URL; it is brought up to date afterwards"
        )


def migrate_to(manifest: Manifest) -> Any:
    """Bring the default database to the backup's migrations; return the apps of that schema."""
    executor = _executor("default")
    nodes = _nodes(manifest)
    if _is_latest(executor, nodes):
        migrate_all()
    else:
        executor.migrate(nodes)
    executor = _executor("default")
    return executor.loader.project_state(nodes).apps


def migrate_all() -> None:
    """Bring both databases up to date."""
    for alias in DATABASES:
        call_command("migrate", database=alias, verbosity=0, interactive=False)


def _is_latest(executor: MigrationExecutor, nodes: Iterable[_Node]) -> bool:
    return set(nodes) == set(_own("default", executor.loader.graph.leaf_nodes()))


def _nodes(manifest: Manifest) -> list[_Node]:
    return [
        (app, name)
        for app, names in sorted(manifest.migrations.get("default", {}).items())
        for name in names
        if app != HISTORY
    ]


def _closure(executor: MigrationExecutor, manifest: Manifest) -> set[_Node]:
    graph = executor.loader.graph
    return {one for node in _nodes(manifest) for one in graph.forwards_plan(node)}


def _own(alias: str, nodes: Iterable[_Node]) -> list[_Node]:
    """Return those of the apps that are a database's own."""
    return [node for node in nodes if (node[0] == HISTORY) == (alias == HISTORY)]


def _executor(alias: str) -> MigrationExecutor:
    try:
        return MigrationExecutor(connections[alias])
    except DatabaseError as error:
        text = str(error).strip().partition("\n")[0]
        raise RestoreRefused(f"cannot use the database of {DATABASES[alias]}: {text}") from error
