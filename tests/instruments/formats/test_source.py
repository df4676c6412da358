"""Records come out of a stream as they went in, whatever its chunks are."""

import io
import json
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from instruments.formats.source import csv_records, json_records, unpacked

texts = st.text(st.characters(codec="utf-8"), max_size=30)
values = texts | st.integers(-(10**15), 10**15) | st.booleans() | st.none()
objects = st.lists(st.dictionaries(texts, values, max_size=5), max_size=20)


class Dripping(io.BytesIO):
    """A file that gives seven bytes at a time, however many are asked for."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size or 7, 7) if size != -1 else 7)


@given(objects, st.sampled_from((None, 1)), st.booleans())
def test_json_records_are_the_objects_of_the_array(
    written: list[dict[str, object]], indent: int | None, ascii_only: bool
) -> None:
    """Streaming a JSON array gives what reading it at once gives."""
    text = json.dumps(written, indent=indent, ensure_ascii=ascii_only)
    found = list(json_records(unpacked(Dripping(text.encode()), max_bytes=10**6)))
    assert [record.fields for record in found] == written
    assert [record.number for record in found] == list(range(1, len(written) + 1))
    lines = text.splitlines() if ascii_only else text.split("\n")
    assert all(lines[record.line - 1].lstrip(" ,[").startswith("{") for record in found)


@given(st.dictionaries(texts, st.dictionaries(texts, values, max_size=5), max_size=10))
def test_json_records_are_the_values_of_the_object(written: dict[str, object]) -> None:
    """Streaming a JSON object gives its values in their order."""
    stream = unpacked(io.BytesIO(json.dumps(written).encode()), max_bytes=10**6)
    assert [record.fields for record in json_records(stream)] == list(written.values())


def test_json_numbers_keep_their_digits() -> None:
    """A price in JSON never passes through a binary float."""
    stream = unpacked(io.BytesIO(b'[{"tick": 0.1, "strike": 83.250}]'), max_bytes=100)
    (record,) = json_records(stream)
    assert record.fields == {"tick": Decimal("0.1"), "strike": Decimal("83.250")}
    assert isinstance(record.fields, dict)
    assert str(record.fields["strike"]) == "83.250"


def test_long_json_is_read_across_windows() -> None:
    """Records are whole wherever the windows of the text end."""
    written = [{"name": "x" * (number % 1000)} for number in range(3000)]
    stream = unpacked(io.BytesIO(json.dumps(written).encode()), max_bytes=10**7)
    assert [record.fields for record in json_records(stream)] == written


def test_csv_rows_know_their_lines() -> None:
    """Empty lines are passed over and quoted ones may span several."""
    text = 'a,b\n\n1,"two\nlines"\n2,3\n'
    found = list(csv_records(unpacked(io.BytesIO(text.encode()), max_bytes=100)))
    assert [(record.line, record.number, record.fields) for record in found] == [
        (1, 1, ["a", "b"]),
        (4, 2, ["1", "two\nlines"]),
        (5, 3, ["2", "3"]),
    ]
