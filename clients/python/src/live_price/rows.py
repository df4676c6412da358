"""Rows of history, as a list that turns into a DataFrame."""

from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from importlib import import_module
from typing import Any, TypeVar

T = TypeVar("T")

_TIMES = frozenset({"timestamp", "start", "ends"})
_LEFT_OUT = frozenset({"depth", "extra", "past"})


class Rows(list[T]):
    """A list of ticks, candles or instruments."""

    def to_pandas(self) -> Any:
        """Return a pandas DataFrame, a column for each field; times are in UTC.

        Raises:
            ImportError: pandas is not installed.
        """
        pandas = _library("pandas")
        return pandas.DataFrame(self.to_columns())

    def to_polars(self) -> Any:
        """Return a polars DataFrame, a column for each field; times are in UTC.

        Raises:
            ImportError: polars is not installed.
        """
        polars = _library("polars")
        return polars.DataFrame(self.to_columns(), strict=False)

    def to_columns(self) -> dict[str, list[Any]]:
        """Return the values of each field; times are `datetime` in UTC.

        Keys that only some ticks have are columns with None in the other rows. Depth is left out.
        """
        records = [_record(row) for row in self]
        names: dict[str, None] = dict.fromkeys(name for record in records for name in record)
        columns: dict[str, list[Any]] = {}
        for name in names:
            values = [record.get(name) for record in records]
            columns[name] = [_time(one) for one in values] if name in _TIMES else values
        return columns


def _record(row: Any) -> dict[str, Any]:
    if isinstance(row, dict):
        return row
    if not is_dataclass(row):
        raise TypeError(f"not a row, got {row!r:.75}")
    found = {one.name: getattr(row, one.name) for one in fields(row) if one.name not in _LEFT_OUT}
    return {**found, **getattr(row, "extra", {})}


def _time(value: Any) -> datetime | None:
    return None if value is None else datetime.fromtimestamp(value / 1000, UTC)


def _library(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(f"{name} is not installed: pip install {name}", name=name) from error
