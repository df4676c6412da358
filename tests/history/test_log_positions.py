"""Positions in the tick log, and the gaps between them."""

from hypothesis import given
from hypothesis import strategies as st

from quotes.history.tables.log_positions import START, after_entry, after_unreadable_entry


@given(st.lists(st.tuples(st.integers(1, 50), st.sampled_from("rrrtlu")), max_size=30))
def test_positions_grow_and_nothing_is_missing_unsaid(steps: list[tuple[int, str]]) -> None:
    """Read, trimmed, lost, unreadable: each tick's position is new, each hole is told."""
    position, log_n, entry, newest = START, 0, 0, 0
    for count, what in steps:
        entry += 1
        if what == "t":
            log_n += count
            continue
        if what == "l":
            log_n = 0
            continue
        log_n += count
        last_n = position.n
        if what == "u":
            position, missing = after_unreadable_entry(position, f"{entry}-0", log_n)
            assert missing.reason == "unreadable"
        else:
            position, gap = after_entry(position, f"{entry}-0", log_n, count)
            assert (gap is None) == (log_n - count == last_n)
            if gap is not None and gap.reason == "trimmed":
                assert gap.ticks == log_n - count - last_n
            assert position.base + position.n - count >= newest
        newest = max(newest, position.base + position.n)
        assert position.n == log_n or what == "u"
