"""Opening the tables of history in the database that is configured: PostgreSQL or SQLite."""

from django.db import connections

from quotes.history.postgres_tables import PostgresTables
from quotes.history.router import ALIAS
from quotes.history.sqlite_tables import SqliteTables
from quotes.history.tables import Tables


def open_tables() -> Tables:
    """Return the tables over the history connection of this thread."""
    if connections[ALIAS].vendor == "postgresql":
        return PostgresTables()
    return SqliteTables()
