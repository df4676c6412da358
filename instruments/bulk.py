"""Writing many instruments fast: plain statements with many parameters, on any database.

`bulk_create` compiles a statement for some 50 rows at a time, value by value: with it the import of
48,000 rows took 10.5 s, with this 6.3 s. What is written is decided in `importing.py`.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from django.db import connection
from django.db.models import DateField, DecimalField

from instruments.models import Instrument

Values = Sequence[Any]


class Writer:
    """Inserts and updates rows of the table of instruments.

    Args:
        columns: the fields that each row gives, in this order, by their attribute's name.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        fields = {field.attname: field for field in Instrument._meta.concrete_fields}
        self.fields = [fields[column] for column in columns]
        quote = connection.ops.quote_name
        self.names = [quote(str(field.column)) for field in self.fields]
        self.table = quote(Instrument._meta.db_table)
        # Which values the database's driver does not take as they are -> what it takes; few of
        # them differ, as days, strikes and ticks are shared by many.
        self.adapted: list[tuple[int, dict[Any, Any]]] = [
            (index, {None: None})
            for index, field in enumerate(self.fields)
            if isinstance(field, DateField | DecimalField)
        ]

    def insert(self, rows: Iterable[Values]) -> None:
        """Insert rows, which give no id."""
        self.execute(self.insertion(), rows)

    def upsert(self, rows: Iterable[Values]) -> None:
        """Write rows that exist, told by their id."""
        sets = ", ".join(f"{name} = EXCLUDED.{name}" for name in self.names if name != '"id"')
        self.execute(f'{self.insertion()} ON CONFLICT ("id") DO UPDATE SET {sets}', rows)

    def insertion(self) -> str:
        placeholders = ", ".join(["%s"] * len(self.names))
        # Every name in it is the model's own; the values are parameters.
        return f"INSERT INTO {self.table} ({', '.join(self.names)}) VALUES ({placeholders})"  # noqa: S608

    def execute(self, statement: str, rows: Iterable[Values]) -> None:
        with connection.cursor() as cursor:
            cursor.executemany(statement, [self.prepared(row) for row in rows])

    def prepared(self, row: Values) -> list[Any]:
        values = list(row)
        for index, adapted in self.adapted:
            value = values[index]
            if value not in adapted:
                adapted[value] = self.fields[index].get_db_prep_save(value, connection)
            values[index] = adapted[value]
        return values
