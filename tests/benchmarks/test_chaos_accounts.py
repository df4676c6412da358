"""The accounts of the chaos suite: each kind of breach is found, and what is allowed is not."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal

import pytest

from benchmarks.chaos.candles import Candle, CandleTick, candle_of, candles_of
from benchmarks.chaos.client_account import (
    ClientAccount,
    Closed,
    Conflated,
    Event,
    FeedState,
    Opened,
    Price,
    Resumed,
    Unreadable,
)
from benchmarks.chaos.findings import Findings, Kind
from benchmarks.chaos.history_account import HistoryAccount, Stored, StoredGap, StoredTick
from benchmarks.chaos.ledger import Ledger, outage_end
from benchmarks.chaos.promises import BRIDGE, LANES, NOTHING, REDIS, REDIS_LOST, Promise

START = 1_700_000_000_000  # Unix milliseconds; a minute begins 20 s before
EPOCH = START - 1000
COUNT = 10
SECOND = 1000


def ledger_of(*, is_own: bool = False, receivers: Sequence[int] = (1,) * COUNT) -> Ledger:
    """Return a ledger of one tick a second of one symbol; a count of -1 is no answer."""
    ledger = Ledger()
    for number, count in enumerate(receivers):
        price = Decimal(100 + number)
        timestamp = START + number * SECOND
        tick = ledger.add("TCS", price, timestamp, 10 * number, is_own=is_own)
        tick.is_acknowledged, tick.receivers = count >= 0, max(0, count)
    return ledger


def price(n: int, *, seq: int | None = None, epoch: int = EPOCH) -> Price:
    """Return the price frame of a tick of the ledger."""
    seq = n if seq is None else seq
    return Price("TCS", n, epoch, seq, Decimal(99 + n), START + (n - 1) * SECOND)


def prices(first: int = 1, last: int = COUNT) -> list[Event]:
    return [price(n) for n in range(first, last + 1)]


def judge(
    events: Sequence[Event],
    promise: Promise = NOTHING,
    *,
    every_tick: bool = False,
    only_newest: bool = False,
    until: int = START + COUNT * SECOND,
) -> Findings:
    account = ClientAccount("a client", every_tick=every_tick, only_newest=only_newest)
    return account.judge(
        [Opened(), *events],
        ledger=ledger_of(),
        shown={"TCS": set(range(1, COUNT + 1))},
        promise=promise,
        until=until,
    )


def kinds(findings: Findings) -> list[Kind]:
    return [breach.kind for breach in findings.breaches]


@pytest.mark.parametrize("every_tick", [False, True])
def test_a_client_that_gets_each_tick_once_is_right(every_tick: bool) -> None:
    """No breach, no word, and every price is counted."""
    findings = judge(prices(), every_tick=every_tick)
    assert not findings.breaches and not findings.words
    assert findings.counts["delivered"] == COUNT


@pytest.mark.parametrize(
    ("events", "found"),
    [
        ([*prices(1, 5), price(5), *prices(6)], [Kind.DOUBLED]),
        # A number that another tick has.
        ([*prices(1, 5), price(6, seq=5), *prices(7)], [Kind.DOUBLED]),
        ([*prices(1, 5), price(4), *prices(6)], [Kind.REORDERED]),
        ([*prices(1, 4), *prices(6)], [Kind.HOLE]),
        (prices(1, COUNT - 1), [Kind.LAST]),
        ([], [Kind.LAST]),
        ([replace(price(1), price=Decimal(7)), *prices(2)], [Kind.WRONG]),
        ([replace(price(1), timestamp=START + 1), *prices(2)], [Kind.WRONG]),
        ([*prices(), price(COUNT + 1)], [Kind.WRONG]),
        ([*prices(), Unreadable("{")], [Kind.WRONG]),
        # A word before the hole is not one about it.
        ([*prices(1, 4), Conflated(1), *prices(6)], [Kind.HOLE]),
        ([*prices(1, 4), Resumed("TCS", False, "why"), *prices(5)], [Kind.HOLE]),
    ],
)
def test_each_breach_at_a_client_is_found(events: list[Event], found: list[Kind]) -> None:
    """Where nothing may be missing, each is found as its kind."""
    assert kinds(judge(events)) == found


@pytest.mark.parametrize(
    ("events", "found"),
    [
        # Even if the fault may cost others their prices.
        ([*prices(1, 4), *prices(6)], {Kind.HOLE}),
        ([*prices(1, 4), Conflated(1), *prices(6)], {Kind.HOLE}),
        ([*prices(1, 4), price(5, epoch=EPOCH + 1, seq=1)], {Kind.HOLE, Kind.LAST}),
        # After `recovered: true` a tick is missing, or comes again.
        ([*prices(1, 4), Closed(4410), Opened(), Resumed("TCS", True), *prices(6)], {Kind.HOLE}),
        ([*prices(1, 4), Closed(0), Opened(), Resumed("TCS", True), *prices(4)], {Kind.DOUBLED}),
    ],
)
def test_each_breach_at_a_client_of_every_tick_is_found(
    events: list[Event], found: set[Kind]
) -> None:
    """The next number is the last plus one, or the connection ends."""
    assert set(kinds(judge(events, REDIS, every_tick=True))) == found


@pytest.mark.parametrize(
    ("events", "promise", "options"),
    [
        ([*prices(1, 4), price(8), Conflated(3), *prices(9)], NOTHING, {}),
        ([*prices(1, 4), price(COUNT)], NOTHING, {"only_newest": True}),
        ([*prices(1, 4), *prices(8)], LANES, {}),
        # A new connection begins with the latest price.
        ([*prices(1, 4), Closed(0), Opened(), *prices(4)], NOTHING, {}),
        ([*prices(1, 4), Closed(0), Opened(), *prices(8)], NOTHING, {}),
        # A price shown while no bridge worked has its number later.
        ([*prices(1, 4), price(5, epoch=0, seq=0), *prices(5)], NOTHING, {}),
        # The same price under a new epoch.
        (
            [*prices(1, 9), price(9, epoch=EPOCH + 1, seq=0), price(10, epoch=EPOCH + 1, seq=1)],
            REDIS,
            {},
        ),
        (
            [*prices(1, 4), Closed(4410), Opened(), Resumed("TCS", True), *prices(5)],
            NOTHING,
            {"every_tick": True},
        ),
        (
            [*prices(1, 4), Closed(4410), Opened(), Resumed("TCS", False), *prices(7)],
            REDIS,
            {"every_tick": True},
        ),
    ],
)
def test_what_is_promised_is_no_breach(
    events: list[Event], promise: Promise, options: dict[str, bool]
) -> None:
    """Ticks that a word, or the documented guarantee, accounts for may be missing."""
    assert not judge(events, promise, **options).breaches


def test_what_is_missing_after_the_recovery_is_a_breach() -> None:
    """A fault excuses the prices that were published before the service had recovered."""
    events = [*prices(1, 4), *prices(8)]
    last_missing = START + 6 * SECOND
    assert not judge(events, LANES, until=last_missing).breaches
    assert kinds(judge(events, LANES, until=last_missing - 1)) == [Kind.HOLE]


def test_words_are_counted() -> None:
    """The table says how often the server told of a failure."""
    words: list[Event] = [FeedState("down"), FeedState("live"), Closed(4410, "behind"), Opened()]
    words += [Resumed("TCS", False, "why"), Conflated(2)]
    findings = judge([*prices(), *words], REDIS)
    assert findings.words == Counter(
        {"feed down": 1, "closed 4410": 1, "recovered: false": 1, "conflated": 1}
    )


def test_ticks_that_nobody_has_are_no_hole_of_a_client() -> None:
    """A tick lost on the way to the bridge is judged with history."""
    account = ClientAccount("a client", every_tick=False)
    events = [
        Opened(),
        *prices(1, 4),
        price(6, seq=5),
        *(price(n, seq=n - 1) for n in range(7, 11)),
    ]
    shown = {"TCS": {1, 2, 3, 4, 6, 7, 8, 9, 10}}
    assert not account.judge(
        events, ledger=ledger_of(), shown=shown, promise=NOTHING, until=0
    ).breaches


def test_a_number_is_remembered_over_trials() -> None:
    """The same (epoch, seq) for another tick is found however much later."""
    account = ClientAccount("a client")
    shown = {"TCS": set(range(1, COUNT + 1))}
    for events, found in ((prices(), []), ([price(COUNT + 1, seq=3)], [Kind.DOUBLED])):
        ledger = ledger_of(receivers=(1,) * (COUNT + 1))
        ledger.ticks[-1].is_acknowledged = False
        judged = account.judge(events, ledger=ledger, shown=shown, promise=REDIS_LOST, until=0)
        assert kinds(judged) == found


# -- history --------------------------------------------------------------------------------------


def stored_of(numbers: Sequence[int] = range(1, COUNT + 1)) -> Stored:
    """Return history with these ticks of the ledger, and the right candles."""
    ticks = [
        StoredTick(
            "TCS", n, EPOCH, n, True, Decimal(99 + n), START + (n - 1) * SECOND, 10 * (n - 1), n
        )
        for n in numbers
    ]
    return with_candles(Stored(ticks))


def with_candles(stored: Stored) -> Stored:
    rows = [CandleTick(one.timestamp, one.volume, one.position, one.price) for one in stored.ticks]
    stored.candles = {
        ("TCS", minutes, start): candle
        for minutes in (1, 5, 15)
        for start, candle in candles_of(rows, minutes).items()
    }
    return stored


def judge_history(
    stored: Stored,
    promise: Promise = NOTHING,
    *,
    ledger: Ledger | None = None,
    delivered: Sequence[int] = (),
    began: int = START + 3 * SECOND,
) -> Findings:
    return HistoryAccount().judge(
        stored,
        ledger=ledger or ledger_of(),
        delivered={"TCS": set(delivered)},
        promise=promise,
        began=began,
        ended=began + SECOND,
    )


def test_complete_history_is_right() -> None:
    """Each tick once, and candles that follow from them."""
    findings = judge_history(stored_of())
    assert not findings.breaches
    assert findings.counts["published"] == COUNT and findings.counts["candles"] == 3


def change(n: int, **values: object) -> Callable[[Stored], None]:
    def make(stored: Stored) -> None:
        stored.ticks[n - 1] = replace(stored.ticks[n - 1], **values)  # type: ignore[arg-type]

    return make


def repeat(n: int) -> Callable[[Stored], None]:
    def make(stored: Stored) -> None:
        stored.ticks.append(replace(stored.ticks[n - 1], position=99, is_shown=False))

    return make


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (repeat(3), {Kind.DOUBLED}),
        (change(4, seq=3), {Kind.DOUBLED, Kind.HOLE}),
        (change(4, position=8), {Kind.DOUBLED, Kind.REORDERED, Kind.HOLE}),
        (change(4, price=Decimal(1)), {Kind.WRONG}),
        (change(4, timestamp=START), {Kind.WRONG}),
        (change(4, volume=7), {Kind.WRONG}),
    ],
)
def test_each_breach_in_history_is_found(make: Callable[[Stored], None], found: set[Kind]) -> None:
    """A tick stored twice, out of order, or other than it was published."""
    stored = stored_of()
    make(stored)
    assert set(kinds(judge_history(with_candles(stored)))) <= found
    assert found & set(kinds(judge_history(with_candles(stored))))


def test_a_wrong_candle_is_found() -> None:
    """One that differs, one that is missing, and one too many."""
    stored = stored_of()
    about = next(iter(stored.candles))
    stored.candles[about] = stored.candles[about]._replace(volume=1)
    assert kinds(judge_history(stored)) == [Kind.CANDLE]
    del stored.candles[about]
    assert kinds(judge_history(stored)) == [Kind.CANDLE]
    stored = stored_of()
    stored.candles["TCS", 1, 0] = candle_of([Decimal(1)] * 4, 0, 1)
    assert kinds(judge_history(stored)) == [Kind.CANDLE]


@pytest.mark.parametrize("is_own", [False, True])
@pytest.mark.parametrize("promise", [NOTHING, LANES])
def test_a_lost_tick_is_found(promise: Promise, is_own: bool) -> None:
    """An acknowledged tick is in history, where nothing stops the bridge."""
    stored = stored_of([1, 2, 3, *range(5, COUNT + 1)])
    assert Kind.LOST in kinds(judge_history(stored, promise, ledger=ledger_of(is_own=is_own)))


def test_own_ticks_are_never_lost_with_the_bridge() -> None:
    """They wait in the inbox; others' ticks may be missed until a bridge listens again."""
    stored = stored_of([1, 2, 3, *range(6, COUNT + 1)])
    stored.ticks = [replace(one, seq=one.seq - 2 * (one.n > 5)) for one in stored.ticks]
    receivers = (1, 1, 1, 0, 0, 1, 1, 1, 1, 1)
    foreign = judge_history(stored, BRIDGE, ledger=ledger_of(receivers=receivers))
    assert not foreign.breaches and foreign.counts["not taken"] == 2
    own = judge_history(stored, BRIDGE, ledger=ledger_of(receivers=receivers, is_own=True))
    assert kinds(own) == [Kind.LOST, Kind.LOST]


def test_ticks_after_the_bridge_listens_again_are_not_lost() -> None:
    """The allowance ends with the last rise of the count of receivers."""
    stored = stored_of([1, 2, 3, 6, 7, 9, 10])
    receivers = (1, 1, 1, 0, 0, 1, 1, 1, 1, 1)
    assert Kind.LOST in kinds(judge_history(stored, BRIDGE, ledger=ledger_of(receivers=receivers)))


def test_a_tick_that_a_client_got_is_in_history() -> None:
    """Whatever the bridge may miss, what it showed is logged, or a gap says so."""
    stored = stored_of([1, 2, 3, *range(5, COUNT + 1)])
    receivers = (1, 1, 1, 1, 0, 1, 1, 1, 1, 1)
    ledger = ledger_of(receivers=receivers)
    assert Kind.LOST in kinds(judge_history(stored, BRIDGE, ledger=ledger, delivered=[4]))
    stored.gaps = [StoredGap(START + 3 * SECOND, START + 3 * SECOND, 1, "lost")]
    findings = judge_history(
        stored, REDIS_LOST, ledger=ledger_of(receivers=receivers), delivered=[4]
    )
    assert not findings.breaches and findings.counts["in a gap"] == 1


def test_a_price_that_was_shown_without_a_bridge_need_not_be_in_history() -> None:
    """Web processes read publishers' keys; nobody listened when it was published."""
    stored = stored_of([1, 2, 3, *range(5, COUNT + 1)])
    stored.ticks = [replace(one, seq=one.seq - (one.n > 4)) for one in stored.ticks]
    receivers = (1, 1, 1, 0, 0, 1, 1, 1, 1, 1)
    ledger = ledger_of(receivers=receivers)
    findings = judge_history(stored, BRIDGE, ledger=ledger, delivered=[4])
    assert not findings.breaches and findings.counts["not taken"] == 1


def test_a_hole_in_the_numbers_needs_a_gap() -> None:
    """The numbers of shown ticks follow each other within an epoch."""
    stored = stored_of([1, 2, 3, *range(5, COUNT + 1)])
    assert Kind.HOLE in kinds(judge_history(stored, REDIS_LOST))


@pytest.mark.parametrize(
    ("promise", "is_own", "is_shown", "found"),
    [
        (REDIS_LOST, True, False, []),
        (REDIS_LOST, True, True, [Kind.DOUBLED]),
        (REDIS_LOST, False, False, [Kind.DOUBLED]),
        (REDIS, True, False, [Kind.DOUBLED]),
    ],
)
def test_an_older_inbox_stores_own_ticks_again_as_late(
    promise: Promise, is_own: bool, is_shown: bool, found: list[Kind]
) -> None:
    """Nobody is shown them twice; any other double is a breach."""
    stored = stored_of()
    again = replace(stored.ticks[5], position=99, is_shown=is_shown, epoch=EPOCH + 1, seq=0)
    stored.ticks.append(again)
    findings = judge_history(with_candles(stored), promise, ledger=ledger_of(is_own=is_own))
    assert [kind for kind in kinds(findings) if kind is Kind.DOUBLED] == found
    assert findings.words["stored again"] == (not found)


def test_each_breach_of_history_is_reported_once() -> None:
    """A later trial does not report what an earlier one did."""
    stored = stored_of()
    repeat(3)(stored)
    account = HistoryAccount()
    counts = [
        account.judge(
            with_candles(stored),
            ledger=ledger_of(),
            delivered={},
            promise=NOTHING,
            began=START,
            ended=START,
        ).count(Kind.DOUBLED)
        for _ in range(2)
    ]
    assert counts == [1, 0]


# -- the ledger and the candles -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("receivers", "end"),
    [
        ((1, 1, 1, 1, 1), 0),
        ((1, 1, 0, 0, 1), 4),
        ((1, 1, -1, -1, 1), 4),
        ((1, 1, 1, 2, 1), 3),  # a standby took over from a frozen bridge
        ((1, 0, 1, 0, 1), 4),
        ((1, 1, 0, 0, 0), 0),
    ],
)
def test_an_outage_ends_when_a_bridge_listens(receivers: Sequence[int], end: int) -> None:
    """The last rise of the count of receivers is the first tick that was taken."""
    assert outage_end(ledger_of(receivers=receivers).ticks, START) == end


def test_candles_follow_the_rules() -> None:
    """Ticks are ordered by time, volume and arrival; volume is the growth of the day's."""
    minute = START // 60_000 * 60_000
    ticks = [
        CandleTick(minute + 2000, 30, 3, Decimal("5")),
        CandleTick(minute + 1000, 10, 2, Decimal("9")),
        CandleTick(minute, 10, 1, Decimal("7")),
        CandleTick(minute + 60_000, 25, 4, Decimal("6")),
        CandleTick(minute + 60_001, 45, 5, Decimal("8")),
    ]
    assert candles_of(ticks, 1) == {
        minute: Candle(Decimal(7), Decimal(9), Decimal(5), Decimal(5), 30, 3),
        minute + 60_000: Candle(Decimal(6), Decimal(8), Decimal(6), Decimal(8), 15, 2),
    }
