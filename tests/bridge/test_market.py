from hypothesis import given
from hypothesis import strategies as st

from instruments.keys import InstrumentKey
from quotes.bridge.market import Market
from quotes.bridge.streams import Stream, Verdict
from quotes.store.latest import decode_latest
from quotes.ticks import Tick
from tests.ticks import MOMENT, message, tick


def market() -> tuple[Market, list[tuple[str, str]]]:
    complaints: list[tuple[str, str]] = []
    return Market(
        prefix="stock:", complain=lambda kind, text: complaints.append((kind, text))
    ), complaints


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
        shown = [row for _, row in one.outcomes.pending if row and row[0] == symbol and row[5]]
        times = [row[3] for row in shown]
        assert times == sorted(times)
        assert [row[2] for row in shown] == list(range(1, len(shown) + 1))
        newest = max((at for name, at, _ in feed if name == symbol), default=None)
        assert (times[-1] if times else None) == (None if newest is None else MOMENT + newest)
    counters = one.counters
    assert counters.received == len(feed) == counters.shown + counters.stale


def test_stale_complaint_names_symbol_times_and_cure() -> None:
    """Who publishes an older tick can read why it is not shown."""
    one, complaints = market()
    one.take([(b"stock:TCS", message("TCS", "1", MOMENT).encode())])
    one.take([(b"stock:TCS", message("TCS", "1", MOMENT - 1).encode())])
    ((kind, text),) = complaints
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
    one, complaints = market()
    one.take([(b"stock:AAPL", message("MSFT").encode())])
    assert one.counters.bad == 1 and not one.outcomes and complaints[0][0] == "bad"


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
    assert [row is None for _, row in one.outcomes.pending] == [False, True, False]


def test_restored_stream_goes_on_with_its_numbers() -> None:
    """A bridge that takes over numbers on where the other one ended."""
    one, _ = market()
    one.take([(b"stock:A", message("A", "1", MOMENT).encode())])
    record = decode_latest(one.streams["A"].record)
    two, _ = market()
    two.restore([("A", record)])
    two.take([(b"stock:A", message("A", "2", MOMENT).encode())])
    assert (two.streams["A"].epoch, two.streams["A"].seq) == (record.epoch, 2)


def test_value_read_from_a_key_is_not_shown_twice() -> None:
    """A tick that was adopted is no news when its message comes; the same tick later on is."""
    stream = Stream(InstrumentKey("", "A"), epoch=1)

    def adopt(one: Tick) -> Verdict:
        return stream.adopt(one.timestamp, stream.frame_of(one))

    def take(one: Tick) -> Verdict:
        return stream.take(one.timestamp, stream.frame_of(one))

    assert adopt(tick("A", "1")) is Verdict.SHOWN
    assert take(tick("A", "1")) is Verdict.REPEATED
    assert take(tick("A", "1")) is Verdict.SHOWN
    assert adopt(tick("A", "2")) is Verdict.REPEATED  # its message came or will come
    assert adopt(tick("A", "2", MOMENT + 1)) is Verdict.SHOWN
    assert adopt(tick("A", "3", MOMENT)) is Verdict.STALE
