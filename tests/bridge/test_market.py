"""The market: which ticks are shown, which are not, and their numbers."""

from hypothesis import given
from hypothesis import strategies as st

from instruments.keys import InstrumentKey
from quotes.bridge.market import Market
from quotes.bridge.streams import Stream, Verdict
from quotes.store.tick_log import KEY, SEQ, SHOWN, TIMESTAMP
from quotes.ticks import Tick
from tests.ticks import MOMENT, message, tick


def market() -> tuple[Market, list[tuple[str, str]]]:
    warnings: list[tuple[str, str]] = []
    return Market(prefix="stock:", warn=lambda kind, text: warnings.append((kind, text))), warnings


@given(
    st.lists(st.tuples(st.sampled_from("AB"), st.integers(0, 5), st.integers(1, 3)), max_size=40)
)
def test_newest_wins_and_every_shown_tick_has_the_next_number(
    feed: list[tuple[str, int, int]],
) -> None:
    """Times shown never go back, numbers have no gap, and the counters add up to what came."""
    one, _ = market()
    messages = [
        (f"stock:{symbol}".encode(), message(symbol, str(price), MOMENT + at).encode())
        for symbol, at, price in feed
    ]
    one.take(messages)
    for symbol in "AB":
        shown = [row for _, row in one.pending.ticks if row and row[KEY] == symbol and row[SHOWN]]
        times = [row[TIMESTAMP] for row in shown]
        assert times == sorted(times)
        assert [row[SEQ] for row in shown] == list(range(1, len(shown) + 1))
        newest = max((at for name, at, _ in feed if name == symbol), default=None)
        assert (times[-1] if times else None) == (None if newest is None else MOMENT + newest)
    counters = one.counters
    assert counters.received == len(feed) == counters.shown + counters.stale


def test_stale_warning_names_symbol_times_and_cure() -> None:
    """The warning says why the older tick is not shown, and what to do."""
    one, warnings = market()
    one.take([(b"stock:TCS", message("TCS", "1", MOMENT).encode())])
    one.take([(b"stock:TCS", message("TCS", "1", MOMENT - 1).encode())])
    ((kind, text),) = warnings
    assert kind == "stale"
    for part in ("TCS", str(MOMENT), str(MOMENT - 1), "forget_price"):
        assert part in text


def test_segment_in_the_message_narrows_the_channels_name() -> None:
    """stock:RELIANCE with segment BSE_EQ is the stream of BSE_EQ:RELIANCE."""
    one, _ = market()
    one.take([(b"stock:RELIANCE", message("RELIANCE", "1", segment="BSE_EQ").encode())])
    assert list(one.streams) == ["BSE_EQ:RELIANCE"]
    assert b'"segment":"BSE_EQ"' in one.streams["BSE_EQ:RELIANCE"].frame


def test_message_of_another_symbol_is_bad() -> None:
    """A tick whose symbol is not its channel's is dropped: nobody is shown another's price."""
    one, warnings = market()
    one.take([(b"stock:AAPL", message("MSFT").encode())])
    assert one.counters.bad == 1 and not one.pending and warnings[0][0] == "bad"


def test_forgotten_stream_starts_over_in_a_new_epoch() -> None:
    """After forget an older tick is shown, numbered from 1 in another epoch."""
    one, _ = market()
    one.take([(b"stock:A", message("A", "1", MOMENT).encode())])
    one.streams["A"].epoch -= 1000  # as if it had begun a second ago
    before = one.streams["A"].epoch
    one.forget(["A"])
    one.take([(b"stock:A", message("A", "1", MOMENT - 5).encode())])
    stream = one.streams["A"]
    assert (stream.seq, stream.timestamp) == (1, MOMENT - 5) and stream.epoch > before
    assert [row is None for _, row in one.pending.ticks] == [False, True, False]


def test_restored_stream_goes_on_with_its_numbers() -> None:
    """A bridge that takes over numbers on where the other one ended."""
    one, _ = market()
    one.take([(b"stock:A", message("A", "1", MOMENT).encode())])
    record = one.streams["A"].latest
    two, _ = market()
    two.restore([("A", record)])
    two.take([(b"stock:A", message("A", "2", MOMENT).encode())])
    assert (two.streams["A"].epoch, two.streams["A"].seq) == (record.epoch, 2)


def test_value_read_from_a_key_is_not_shown_twice() -> None:
    """A tick that was read from a key is not shown again for its message, but for a later one."""
    stream = Stream(InstrumentKey("", "A"), epoch=1)

    def take_key(one: Tick) -> Verdict:
        return stream.take_key(one.timestamp, stream.frame_of(one))

    def take(one: Tick) -> Verdict:
        return stream.take(one.timestamp, stream.frame_of(one))

    assert take_key(tick("A", "1")) is Verdict.SHOWN
    assert take(tick("A", "1")) is Verdict.REPEATED
    assert take(tick("A", "1")) is Verdict.SHOWN
    assert take_key(tick("A", "2")) is Verdict.REPEATED  # its message came or will come
    assert take_key(tick("A", "2", MOMENT + 1)) is Verdict.SHOWN
    assert take_key(tick("A", "3", MOMENT)) is Verdict.STALE
