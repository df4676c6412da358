"""The account of history: its ticks against what was published, its candles against its ticks.

Pure; `history_rows.py` reads the database.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from decimal import Decimal

from benchmarks.chaos.candles import INTERVALS, Candle, CandleTick, candles_of
from benchmarks.chaos.findings import Findings, Kind
from benchmarks.chaos.ledger import Ledger, Published, outage_end
from benchmarks.chaos.promises import Promise

HISTORY = "history"
# Ticks that were on their way when a fault came, or when a gap began or ended.
UNDER_WAY_MS = 500
GAP_MARGIN_MS = 1500
UNSTORED_MS = 2000  # for which a tick may be in Redis alone
MOST_TEXTS = 20  # breaches of one kind that are written down


@dataclass(frozen=True, slots=True)
class StoredTick:
    symbol: str
    n: int
    epoch: int
    seq: int
    is_shown: bool
    price: Decimal
    timestamp: int
    volume: int
    position: int


@dataclass(frozen=True, slots=True)
class StoredGap:
    """A row of `history_gap`; times of arrival in Unix milliseconds, both included."""

    begins: int
    ends: int
    ticks: int | None
    reason: str


@dataclass
class Stored:
    """What the database has."""

    ticks: list[StoredTick] = field(default_factory=list)
    gaps: list[StoredGap] = field(default_factory=list)
    # symbol, minutes, start -> candle
    candles: dict[tuple[str, int, int], Candle] = field(default_factory=dict)

    def newest(self) -> dict[str, int]:
        """Return symbol -> the greatest number of its ticks."""
        found: dict[str, int] = {}
        for tick in self.ticks:
            found[tick.symbol] = max(tick.n, found.get(tick.symbol, 0))
        return found

    def shown(self) -> dict[str, set[int]]:
        """Return symbol -> the numbers of the ticks that were shown."""
        found: dict[str, set[int]] = defaultdict(set)
        for tick in self.ticks:
            if tick.is_shown:
                found[tick.symbol].add(tick.n)
        return found


class HistoryAccount:
    """Judges history as a whole, trial after trial; each breach is reported once."""

    def __init__(self) -> None:
        self._reported: set[tuple[str, ...]] = set()
        self._judged = 0  # ticks of the ledger that were judged in earlier trials

    def judge(
        self,
        stored: Stored,
        *,
        ledger: Ledger,
        delivered: Mapping[str, Set[int]],
        promise: Promise,
        began: int,
        ended: int,
        lag_ms: int = 0,
    ) -> Findings:
        """Judge what history has of everything that was published.

        Args:
            delivered: symbol -> the numbers of the ticks that any client got.
            began: when the fault was put in, Unix milliseconds.
            ended: when it was over.
            lag_ms: how long the proxies stood still at most: so long ticks were in them.
        """
        findings = Findings()
        self._judge_ticks(stored, ledger, promise, began, findings)
        self._judge_candles(stored, findings)
        self._judge_missing(stored, ledger, delivered, promise, began, ended, lag_ms, findings)
        self._judged = len(ledger.ticks)
        return findings

    def _add(self, findings: Findings, kind: Kind, about: tuple[object, ...], text: str) -> None:
        """Report a breach unless an earlier trial did."""
        mark = (kind.value, *map(str, about))
        if mark not in self._reported:
            self._reported.add(mark)
            findings.add(kind, HISTORY, text)

    def _judge_ticks(
        self, stored: Stored, ledger: Ledger, promise: Promise, began: int, findings: Findings
    ) -> None:
        once: dict[tuple[str, int], StoredTick] = {}
        numbers: dict[tuple[str, int, int], StoredTick] = {}
        newest: dict[str, StoredTick] = {}
        for tick in sorted(stored.ticks, key=lambda one: one.position):
            published = ledger.find(tick.symbol, tick.n)
            if published is None or (published.price, published.timestamp, published.volume) != (
                tick.price,
                tick.timestamp,
                tick.volume,
            ):
                self._add(findings, Kind.WRONG, (tick.position,), f"{tick} was never published")
            if (other := once.setdefault((tick.symbol, tick.n), tick)) is not tick:
                about = (tick.symbol, tick.n)
                if promise.loses_redis and self._is_late_again(tick, published, began):
                    mark = (Kind.DOUBLED.value, *map(str, about))
                    findings.words["stored again"] += mark not in self._reported
                    self._reported.add(mark)
                else:
                    self._add(findings, Kind.DOUBLED, about, f"{tick} is stored as {other} too")
            if not tick.is_shown:
                continue
            number = (tick.symbol, tick.epoch, tick.seq)
            if (other := numbers.setdefault(number, tick)) is not tick:
                text = f"{tick} has the number of {other}"
                self._add(findings, Kind.DOUBLED, number, text)
            last = newest.get(tick.symbol)
            newest[tick.symbol] = tick
            if last is None:
                continue
            if tick.n < last.n or (tick.epoch, tick.seq) < (last.epoch, last.seq):
                self._add(
                    findings, Kind.REORDERED, (tick.position,), f"{tick} is stored after {last}"
                )
            elif (
                tick.epoch == last.epoch
                and tick.seq > last.seq + 1
                and not self._is_said(stored.gaps, last.timestamp, tick.timestamp)
            ):
                text = f"{tick} follows {last}, and no gap says why"
                self._add(findings, Kind.HOLE, number, text)

    @staticmethod
    def _is_late_again(tick: StoredTick, published: Published | None, began: int) -> bool:
        """Return whether an older inbox had a tick again, which was stored as a late one."""
        return (
            published is not None
            and published.is_own
            and not tick.is_shown
            and published.timestamp >= began - UNSTORED_MS
        )

    @staticmethod
    def _is_said(gaps: Sequence[StoredGap], after: int, before: int) -> bool:
        """Return whether a gap overlaps a time, both ends in Unix milliseconds."""
        return any(
            gap.begins <= before + GAP_MARGIN_MS and after - GAP_MARGIN_MS <= gap.ends
            for gap in gaps
        )

    def _judge_candles(self, stored: Stored, findings: Findings) -> None:
        ticks: dict[str, list[CandleTick]] = defaultdict(list)
        for tick in stored.ticks:
            ticks[tick.symbol].append(
                CandleTick(tick.timestamp, tick.volume, tick.position, tick.price)
            )
        wanted = {
            (symbol, minutes, start): candle
            for symbol, rows in ticks.items()
            for minutes in INTERVALS
            for start, candle in candles_of(rows, minutes).items()
        }
        for about in wanted.keys() | stored.candles.keys():
            if stored.candles.get(about) != wanted.get(about):
                text = f"{about}: stored {stored.candles.get(about)}, computed {wanted.get(about)}"
                self._add(findings, Kind.CANDLE, about, text)
        findings.counts["candles"] += len(wanted)

    def _judge_missing(
        self,
        stored: Stored,
        ledger: Ledger,
        delivered: Mapping[str, Set[int]],
        promise: Promise,
        began: int,
        ended: int,
        lag_ms: int,
        findings: Findings,
    ) -> None:
        """Judge the acknowledged ticks of this trial that history does not have."""
        there: dict[str, set[int]] = defaultdict(set)
        for row in stored.ticks:
            there[row.symbol].add(row.n)
        ticks = ledger.ticks[self._judged :]
        listens = outage_end(ticks, began)
        under_way = UNDER_WAY_MS + lag_ms
        for tick in ticks:
            if not tick.is_acknowledged:
                findings.counts["refused"] += 1
                continue
            findings.counts["published"] += 1
            if tick.n in there[tick.symbol]:
                continue
            is_delivered = tick.n in delivered.get(tick.symbol, set())
            in_outage = began - under_way <= tick.timestamp and (
                tick.order < listens or tick.timestamp <= began + under_way
            )
            is_said = promise.cuts_log and self._is_in_gap(stored.gaps, tick)
            is_untaken = not tick.is_own and promise.stops_bridge and in_outage
            if is_said:
                findings.counts["in a gap"] += 1
            elif is_untaken and not tick.receivers:
                # Clients may have got it all the same: web processes read publishers' keys.
                findings.counts["not taken"] += 1
            elif is_delivered:
                self._add_lost(tick, findings, "a client got it")
            elif is_untaken:
                findings.counts["not taken"] += 1
            elif promise.loses_redis and began - UNSTORED_MS <= tick.timestamp <= ended:
                findings.counts["lost by Redis"] += 1
            else:
                self._add_lost(tick, findings, "no client got it")

    def _add_lost(self, tick: Published, findings: Findings, text: str) -> None:
        way = "own" if tick.is_own else "foreign"
        text = f"{tick} ({way}) is not in history; {text}"
        self._add(findings, Kind.LOST, (tick.symbol, tick.n), text)

    @staticmethod
    def _is_in_gap(gaps: Sequence[StoredGap], tick: Published) -> bool:
        return any(
            gap.begins - GAP_MARGIN_MS <= tick.timestamp <= gap.ends + GAP_MARGIN_MS for gap in gaps
        )
