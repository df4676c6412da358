"""Opening the tables of history in the configured database: PostgreSQL or SQLite."""

from django.db import connections

from quotes.history.router import ALIAS
from quotes.history.tables.base import Tables
from quotes.history.tables.postgres import PostgresTables
from quotes.history.tables.sqlite import SqliteTables


def open_tables() -> Tables:
    """Return the tables over the history connection of this thread."""
    if connections[ALIAS].vendor == "postgresql":
        return PostgresTables()
    return SqliteTables()
