"""History as an Arrow stream or a Parquet file; needs pyarrow, which is imported on first use.

Prices are decimals of 38 digits, 12 of them after the point; times are timestamps in UTC. In a
backup, prices are text, which has all digits.
"""

import importlib.util
import sys
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from quotes.errors import BadHistoryQuery, FormatMissing
from quotes.history.formats.columns import Batches, columns_of, values_of, without_empty

_SCALE = 12
_PRICES = frozenset({"open", "high", "low", "close", "price"})
_TIMES = frozenset({"start", "ends", "timestamp"})
_TEXTS = frozenset({"instrument", "interval", "others"})
_FLAGS = frozenset({"final", "revised", "shown"})
_ROW_GROUP_ROWS = 50_000


def available() -> bool:
    """Return whether pyarrow can be imported."""
    if "pyarrow" in sys.modules:
        return sys.modules["pyarrow"] is not None
    return importlib.util.find_spec("pyarrow") is not None


def require_pyarrow() -> Any:
    """Return the package; raise FormatMissing without it."""
    try:
        import pyarrow
    except ImportError as error:
        raise FormatMissing(
            "Arrow and Parquet need the package pyarrow on the server: run `make parquet` there, "
            "or use CSV or JSON"
        ) from error
    return pyarrow


def _schema_of(*, ticks: bool, stored: bool = False) -> Any:
    pa = require_pyarrow()

    def kind(name: str) -> Any:
        if name in _PRICES:
            return pa.string() if stored else pa.decimal128(38, _SCALE)
        if name in _TIMES:
            return pa.timestamp("ms", tz="UTC")
        if name in _TEXTS:
            return pa.string()
        return pa.bool_() if name in _FLAGS else pa.int64()

    return pa.schema([(name, kind(name)) for name in columns_of(ticks=ticks, stored=stored)])


def _record_batch(rows: Any, *, ticks: bool, schema: Any) -> Any:
    """Return the rows as a batch.

    Raises:
        BadHistoryQuery: a price has more digits than the columns.
    """
    pa = require_pyarrow()
    columns = list(zip(*map(values_of(ticks=ticks), rows), strict=True))
    arrays = []
    for values, field in zip(columns, schema, strict=True):
        if field.name in _PRICES:
            values = _prices(values, as_text=field.type == pa.string())
        try:
            arrays.append(pa.array(values, type=field.type))
        except pa.ArrowInvalid as error:
            raise BadHistoryQuery(
                f"a value of {field.name} has more digits than an Arrow column ({error}): use "
                "CSV or JSON"
            ) from error
    return pa.record_batch(arrays, schema=schema)


def _prices(values: tuple[Any, ...], *, as_text: bool) -> tuple[Any, ...]:
    """Return the prices as a column has them: those of ticks come as text, others as numbers."""
    if as_text:
        return tuple(one if isinstance(one, str) else format(one, "f") for one in values)
    return tuple(Decimal(one) if isinstance(one, str) else one for one in values)


class _Sink:
    """A file object for pyarrow whose content is taken out while it is written."""

    closed = False

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._written = 0

    def write(self, data: Any) -> int:
        self._pieces.append(bytes(data))
        self._written += len(data)
        return len(data)

    def tell(self) -> int:
        return self._written

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True

    def take(self) -> bytes:
        data = b"".join(self._pieces)
        self._pieces.clear()
        return data


def arrow_stream(batches: Batches, *, ticks: bool) -> Iterator[bytes]:
    """Yield an Arrow IPC stream in pieces."""
    pa = require_pyarrow()
    schema, sink = _schema_of(ticks=ticks), _Sink()
    with pa.ipc.new_stream(pa.PythonFile(sink, mode="w"), schema) as writer:
        for batch in without_empty(batches):
            writer.write_batch(_record_batch(batch, ticks=ticks, schema=schema))
            yield sink.take()
    yield sink.take()


def parquet_file(batches: Batches, *, ticks: bool, stored: bool = False) -> Iterator[bytes]:
    """Yield a Parquet file in pieces; rows wait in memory until they fill a row group.

    Args:
        stored: with all that is stored and prices as text, as in a backup.
    """
    pa = require_pyarrow()
    from pyarrow import parquet

    schema, sink = _schema_of(ticks=ticks, stored=stored), _Sink()
    file = pa.PythonFile(sink, mode="w")
    # A backup is half as large with zstd; whatever else reads exports may know snappy alone.
    compression = "zstd" if stored else "snappy"
    with parquet.ParquetWriter(file, schema, compression=compression) as writer:
        pending: list[Any] = []
        for batch in without_empty(batches):
            pending.append(_record_batch(batch, ticks=ticks, schema=schema))
            if sum(part.num_rows for part in pending) >= _ROW_GROUP_ROWS:
                writer.write_table(pa.Table.from_batches(pending, schema))
                pending.clear()
                yield sink.take()
        if pending:
            writer.write_table(pa.Table.from_batches(pending, schema))
    yield sink.take()
