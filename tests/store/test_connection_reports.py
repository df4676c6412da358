"""The messages between operators' pages and web processes: across releases, in order, in bounds."""

import pytest

from quotes.store.connection_reports import (
    MAX_ROWS,
    MAX_TOP_SYMBOLS,
    ConnectionQuery,
    ConnectionRow,
    ProcessReport,
    decode_query,
    decode_report,
    encode,
    most_interesting,
    sum_of_symbols,
)


def test_other_releases_are_read() -> None:
    """Keys of a later release are ignored, and those that an earlier one lacks have defaults."""
    query = decode_query(b'{"id":"a","limit":5,"of_a_later_release":[1]}')
    assert query == ConnectionQuery("a", limit=5)
    report = decode_report(b'{"process":"p","rows":[{"id":"p.1","new":1}],"more":{}}')
    assert report == ProcessReport("p", rows=[ConnectionRow("p.1")])


def test_messages_come_back_as_they_were() -> None:
    """Encoding and decoding is the identity."""
    query = ConnectionQuery("a", 5, "asha", "10.", "NSE_EQ:M&M", "p.1", True)
    assert decode_query(encode(query)) == query
    row = ConnectionRow("p.1", "asha", "10.0.0.1", "/kite", "x/1", 1, 2, 3, 4, 5, True)
    report = ProcessReport("p", "m", 1, 2, 3, 4, 5, [row], [("NSE_EQ:M&M", 7)], 1.5, 2.5, 3.5, 1)
    assert decode_report(encode(report)) == report


def test_most_interesting_come_first_in_bounds() -> None:
    """Slow ones, then those to which most is unsent, that missed most, that have most symbols."""
    rows = [
        ConnectionRow("many", symbols=900),
        ConnectionRow("missed", conflated=1),
        ConnectionRow("unsent", unsent=10),
        ConnectionRow("slow", is_slow=True),
        ConnectionRow("few"),
    ]
    names = [row.id for row in most_interesting(reversed(rows), 4)]
    assert names == ["slow", "unsent", "missed", "many"]
    many = [ConnectionRow(str(at)) for at in range(MAX_ROWS + 10)]
    assert len(most_interesting(many, 10**9)) == MAX_ROWS
    assert most_interesting(many, 0) == most_interesting(many, -1) == []


def test_symbols_of_processes_are_summed() -> None:
    """The symbols with the most subscribers in all processes, and no more than fit."""
    reports = [
        ProcessReport("a", top_symbols=[("NSE_EQ:TCS", 5), ("NSE_EQ:INFY", 4)]),
        ProcessReport("b", top_symbols=[("NSE_EQ:INFY", 3)]),
        ProcessReport("c", top_symbols=[(f"S{at}", 1) for at in range(2 * MAX_TOP_SYMBOLS)]),
    ]
    found = sum_of_symbols(reports)
    assert found[:2] == [("NSE_EQ:INFY", 7), ("NSE_EQ:TCS", 5)]
    assert len(found) == MAX_TOP_SYMBOLS


@pytest.mark.parametrize(
    ("terms", "is_found"),
    [
        ({}, True),
        ({"user": "ASH"}, True),
        ({"user": "ravi"}, False),
        ({"address": "10.0."}, True),
        ({"address": "0.0"}, False),
        ({"connection": "p.1"}, True),
        ({"connection": "p.10"}, False),
        ({"user": "asha", "address": "11"}, False),
    ],
)
def test_connections_are_found_by_user_address_and_id(
    terms: dict[str, str], is_found: bool
) -> None:
    """Of a user a part of the name in any case, of an address the beginning, of an id all."""
    row = ConnectionRow("p.1", user="Asha", address="10.0.0.1")
    assert ConnectionQuery("q", **terms).matches(row) is is_found  # type: ignore[arg-type]
