"""The market: which ticks are shown, which are not, and their numbers."""

from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instruments.keys import InstrumentKey
from quotes.bridge.market import Market
from quotes.bridge.tick_order import Stream, Verdict
from quotes.runtime.clock import now_ms
from quotes.store.latest import LatestPrice
from quotes.store.tick_log import EPOCH, KEY, SEQ, SHOWN, TIMESTAMP
from quotes.ticks import Tick
from tests.history.masters import replaced_master
from tests.instruments.factories import reliance
from tests.ticks import MOMENT, message, tick


def market() -> tuple[Market, list[tuple[str, str]]]:
    warnings: list[tuple[str, str]] = []
    return Market(prefix="stock:", warn=lambda kind, text: warnings.append((kind, text))), warnings


def kinds(warnings: list[tuple[str, str]]) -> set[str]:
    return {kind for kind, _ in warnings}


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


def test_fields_without_a_number_are_counted() -> None:
    """A good price is shown without them, and the operator sees how many there were."""
    one, warnings = market()
    one.take([(b"stock:A", b'{"symbol":"A","price":5,"volume":NaN,"bid":"","ask":6}')])
    assert one.counters.shown == 1 and one.counters.bad == 0
    assert one.counters.unknown == 2 and warnings[0][0] == "unknown"
    assert one.streams["A"].frame.endswith(b',"ask":6}')


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


@pytest.mark.parametrize("ahead_s", [121, 19_800, 80_000, 200_000])
def test_ticks_ahead_of_the_clock_hide_no_right_ones(ahead_s: int) -> None:
    """A tick ahead of the clock is bad, whichever way it is read; right ticks go on."""
    one, warnings = market()
    now = now_ms()
    for at in (now, now + ahead_s * 1000, now + 1):
        one.take([(b"stock:A", message("A", "1", at).encode())])
    one.take_keys([(b"stock:A", message("A", "2", now + ahead_s * 1000).encode())])
    assert (one.counters.shown, one.counters.bad, one.counters.stale) == (2, 1, 0)
    (text,) = (text for kind, text in warnings if kind == "bad")
    assert ("Indian time written as UTC" in text) == (ahead_s == 19_800)


def test_tolerance_is_a_setting(settings: Any) -> None:
    """QUOTES_MAX_AHEAD_S moves the bound for ticks that are ahead."""
    one, _ = market()
    late = message("A", "1", now_ms() + 500_000).encode()
    settings.QUOTES_MAX_AHEAD_S = 400
    one.take([(b"stock:A", late)])
    settings.QUOTES_MAX_AHEAD_S = 600
    one.take([(b"stock:A", late)])
    assert (one.counters.bad, one.counters.shown) == (1, 1)


@pytest.mark.parametrize("by_key", [False, True])
def test_price_ahead_of_the_clock_that_was_restored_hides_nothing(by_key: bool) -> None:
    """A stream that Redis has at a time in the future shows right ticks, in a new epoch."""
    one, warnings = market()
    now = now_ms()
    wrong = message("A", "9", now + 19_800_000).encode()
    one.restore([("A", LatestPrice(now + 5, 7, now + 19_800_000, wrong))])
    for at in (now - 2, now - 1):
        right = (b"stock:A", message("A", "1", at).encode())
        if by_key:
            one.take_keys([right])
        else:
            one.take([right])
    rows = [row for _, row in one.pending.ticks if row]
    assert [(row[SEQ], row[TIMESTAMP], row[SHOWN]) for row in rows] == [
        (1, now - 2, True),
        (2, now - 1, True),
    ]
    assert rows[0][1] == rows[1][1] > now + 5
    assert [kind for kind, _ in warnings] == ["ahead"]


def test_silent_streams_make_room() -> None:
    """At the limit old names are let go; they come back under a greater epoch."""
    warnings: list[tuple[str, str]] = []
    one = Market(prefix="stock:", warn=lambda *warning: warnings.append(warning), max_streams=3)
    fresh = now_ms()
    for symbol, at in (("OLD", MOMENT), ("A", fresh), ("B", fresh)):
        one.take([(f"stock:{symbol}".encode(), message(symbol, "1", at).encode())])
    epoch = one.streams["OLD"].epoch
    one.take([(b"stock:C", message("C", "1", fresh).encode())])
    assert sorted(one.streams) == ["A", "B", "C"] and one.let_go == 1
    assert ("OLD", None) in [(stream.field, row) for stream, row in one.pending.ticks]
    one.take([(b"stock:D", message("D", "1", fresh).encode())])
    assert one.counters.bad == 1 and "at most 3" in warnings[-1][1]
    one.forget(["A"])
    one.take([(b"stock:OLD", message("OLD", "2", fresh).encode())])
    assert one.streams["OLD"].epoch > epoch and one.streams["OLD"].seq == 1


def test_old_values_of_keys_begin_no_streams_when_it_is_crowded() -> None:
    """Publishers' keys of long ago do not bring back names that were let go."""
    one = Market(prefix="stock:", warn=lambda *warning: None, max_streams=2)
    fresh = now_ms()
    one.take([(b"stock:A", message("A", "1", fresh).encode())])
    one.take([(b"stock:B", message("B", "1", fresh).encode())])
    one.take_keys([(b"stock:OLD", message("OLD", "1", MOMENT).encode())])
    assert sorted(one.streams) == ["A", "B"]
    one.take_keys([(b"stock:A", message("A", "2", fresh + 1).encode())])
    assert one.streams["A"].seq == 2


def test_more_streams_in_redis_than_fit_are_let_go_at_the_start() -> None:
    """A bridge that starts with too many names forgets the silent ones."""
    one = Market(prefix="stock:", warn=lambda *warning: None, max_streams=2)
    fresh = now_ms()
    times = {"OLD": MOMENT, "A": fresh, "B": fresh}
    one.restore((name, LatestPrice(5, 7, at, b"{}")) for name, at in times.items())
    assert sorted(one.streams) == ["A", "B"]
    assert [(stream.field, row) for stream, row in one.pending.ticks] == [("OLD", None)]


def test_expired_and_inactive_instruments_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Contracts that expired, or that the master has no more, go first, however new their ticks."""
    master = {
        "PAST": SimpleNamespace(expiry=date(2024, 1, 25)),
        "NEXT": SimpleNamespace(expiry=date(9999, 1, 1)),
        "SHARE": SimpleNamespace(expiry=None),
    }

    class Index:
        def __len__(self) -> int:
            return len(master)

        def resolve(self, name: str, *, segment: str = "") -> InstrumentKey:
            return InstrumentKey.parse(name)

        def describe(self, key: InstrumentKey) -> SimpleNamespace | None:
            return master.get(key.symbol)

        def other_names(self, key: InstrumentKey) -> list[str]:
            return []

    for module in ("quotes.bridge.market", "quotes.store.listings"):
        monkeypatch.setattr(f"{module}.index", Index())
    one = Market(prefix="stock:", warn=lambda *warning: None, max_streams=5)
    names = ["NFO:PAST", "NFO:NEXT", "NSE_EQ:SHARE", "NSE_EQ:GONE", "FREE"]
    for name in [*names, "NEW"]:
        one.take([(f"stock:{name}".encode(), message(name, "1", now_ms()).encode())])
    assert sorted(one.streams) == ["FREE", "NEW", "NFO:NEXT", "NSE_EQ:SHARE"]


@pytest.mark.parametrize("price", ["0", "0.00", "-0.0", "-5", "0e3", '"0"'])
@pytest.mark.parametrize("name", ["NSE_EQ:RELIANCE", "NSE_INDEX:NIFTY 50", "NFO:NIFTY24APR18000CE"])
@pytest.mark.parametrize("live", [True, False], ids=["live", "history"])
@pytest.mark.parametrize("more", [{}, {"note": "x"}], ids=["usual layout", "any layout"])
def test_price_of_zero_is_no_trade(name: str, price: str, live: bool, more: Any) -> None:
    """That of a share, an index or an option is refused with the reason, and operators see it."""
    one, warnings = market()
    symbol = name.partition(":")[2]
    channel = f"stock:{name}".encode()

    def take(price: str) -> None:
        one.take([(channel, message(symbol, price, MOMENT, **more).encode())], live=live)

    take(price)
    assert one.streams == {}
    take("5")
    assert not one.refused.listed()
    for _ in range(3):
        take(price)
    assert one.counters.bad == 4 and one.counters.shown + one.counters.history == 1
    assert len(one.pending.ticks) == 1
    assert kinds(warnings) == {"bad"} and "is no trade" in warnings[0][1]
    (reason,) = one.refused.listed().values()
    assert "above 0" in reason
    if live:
        take("0.05")
        assert not one.refused.listed() and b'"price":0.05' in one.streams[name].frame


@pytest.mark.parametrize("price", ["0", "-37.63", "0.0"])
@pytest.mark.parametrize("name", ["MCX:CRUDEOIL24APRFUT", "AAPL"])
def test_price_from_zero_down_can_be_a_trade(name: str, price: str) -> None:
    """That of a future, or of a name that the master does not know, is shown."""
    one, _ = market()
    for more in ({}, {"volume": 5}, {"note": "x"}):
        text = message(name.rpartition(":")[2], price, MOMENT, **more)
        one.take([(f"stock:{name}".encode(), text.encode())])
    assert (one.counters.bad, one.counters.shown) == (0, 3)


def test_publishers_key_at_zero_is_not_shown() -> None:
    """A key may hold anything: only the price of a trade becomes the last one."""
    one, _ = market()
    for price in ("0", "7"):
        one.take_keys([(b"stock:NSE_EQ:TCS", message("TCS", price, MOMENT).encode())])
    assert b'"price":7' in one.streams["NSE_EQ:TCS"].frame and one.streams["NSE_EQ:TCS"].seq == 1


def test_stream_goes_on_when_its_name_comes_to_mean_an_instrument() -> None:
    """What was the last tick stays it: it is not shown again, and older ones are stale."""
    one, _ = market()
    with replaced_master() as use:
        use()
        one.take([(b"stock:RELIANCE", message("RELIANCE", "1", MOMENT).encode())])
        use(reliance(), reliance("BSE_EQ"))
        one.rebind_names()
        one.take_keys([(b"stock:RELIANCE", message("RELIANCE", "1", MOMENT).encode())])
        one.take([(b"stock:BSE:RELIANCE", message("RELIANCE", "7", MOMENT - 5).encode())])
        one.take([(b"stock:RELIANCE", message("RELIANCE", "2", MOMENT - 1).encode())])
        one.take([(b"stock:NSE:RELIANCE", message("RELIANCE", "3", MOMENT).encode())])
        rows = [(row[KEY], row[SEQ], row[SHOWN]) for _, row in one.pending.ticks if row]
        assert rows == [
            ("RELIANCE", 1, True),
            ("BSE_EQ:RELIANCE", 1, True),
            ("NSE_EQ:RELIANCE", 0, False),
            ("NSE_EQ:RELIANCE", 1, True),
        ]
        epochs = {row[KEY]: row[EPOCH] for _, row in one.pending.ticks if row}
        assert epochs["NSE_EQ:RELIANCE"] >= epochs["RELIANCE"]


def test_forgetting_an_instrument_forgets_what_it_was_called() -> None:
    """After forget_price a tick of any time is the first, whatever came under another name."""
    one, _ = market()
    with replaced_master() as use:
        use()
        one.take([(b"stock:RELIANCE", message("RELIANCE", "1", MOMENT).encode())])
        use(reliance())
        one.rebind_names()
        one.forget(["NSE_EQ:RELIANCE"])
        one.take([(b"stock:RELIANCE", message("RELIANCE", "2", MOMENT - 1).encode())])
        (last,) = [row for _, row in one.pending.ticks[-1:] if row]
        assert (last[KEY], last[SHOWN]) == ("NSE_EQ:RELIANCE", True)
