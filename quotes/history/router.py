"""The router of history to its database alias `history`, by default a server or file of its own.

HISTORY_DATABASE_URL may name the database of DATABASE_URL: the alias is then a second connection
to it, and a migration of either is one of both.
"""

from typing import Any

from django.conf import settings

_APP_LABEL = "history"
ALIAS = "history"
_CONNECTION_FIELDS = ("ENGINE", "NAME", "HOST", "PORT")


class HistoryRouter:
    """Sends the models of this app to the database of history, and nothing else there."""

    def db_for_read(self, model: type[Any], **hints: Any) -> str | None:
        return ALIAS if model._meta.app_label == _APP_LABEL else None

    db_for_write = db_for_read

    def allow_relation(self, one: Any, other: Any, **hints: Any) -> bool | None:
        return None

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        if shares_database():
            return None
        return (db == ALIAS) == (app_label == _APP_LABEL)


def shares_database() -> bool:
    """Return whether history is in the same database as everything else."""
    own, default = (settings.DATABASES[alias] for alias in (ALIAS, "default"))
    return all(
        str(own.get(part) or "") == str(default.get(part) or "") for part in _CONNECTION_FIELDS
    )
