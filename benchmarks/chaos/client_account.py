"""The account of one client: every frame that it got, against what was published. Pure."""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from decimal import Decimal

from benchmarks.chaos.findings import Findings, Kind
from benchmarks.chaos.ledger import Ledger
from benchmarks.chaos.promises import Promise

SHOWN_TEXTS = 5  # missing numbers in a text


@dataclass(frozen=True, slots=True)
class Price:
    """A price frame; an epoch of 0 is a price that no bridge has numbered."""

    symbol: str
    n: int
    epoch: int
    seq: int
    price: Decimal
    timestamp: int
    at: float = 0.0  # when it came, time.monotonic()


@dataclass(frozen=True, slots=True)
class Opened:
    """The client connected and subscribed."""

    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Closed:
    """The connection ended, by the server's close code or, with 0, without one."""

    code: int
    reason: str = ""
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Resumed:
    symbol: str
    is_recovered: bool
    reason: str = ""
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Conflated:
    skipped: int
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class FeedState:
    state: str
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A frame that is none of the protocol's."""

    text: str
    at: float = 0.0


Event = Price | Opened | Closed | Resumed | Conflated | FeedState | Unreadable


@dataclass(frozen=True, slots=True)
class Gap:
    """Ticks of a symbol between two numbers, both left out, that the client did not get."""

    symbol: str
    after: int
    before: int


class ClientAccount:
    """Judges one client's frames, over all of its connections.

    Args:
        every_tick: it subscribes with `"conflate": false` and resumes.
        only_newest: it asked for the newest price of each interval.
    """

    def __init__(self, name: str, *, every_tick: bool = False, only_newest: bool = False) -> None:
        self.name = name
        self.every_tick = every_tick
        self.only_newest = only_newest
        self.last: dict[str, Price] = {}
        self._numbers: dict[tuple[str, int, int], int] = {}
        self._expects: dict[str, bool] = {}  # symbol -> the next price follows the last one
        self._connected = False

    def judge(
        self,
        events: Iterable[Event],
        *,
        ledger: Ledger,
        shown: Mapping[str, Set[int]],
        promise: Promise,
        until: int,
    ) -> Findings:
        """Judge what came since the last call, when everything that was published has arrived.

        Args:
            shown: symbol -> the numbers of the ticks that any client or history has.
            until: when the service had recovered, Unix milliseconds; what was published later may
                not be missing.
        """
        findings = Findings()
        unsaid: list[Gap] = []
        for event in events:
            match event:
                case Price():
                    findings.counts["delivered"] += 1
                    self._take(event, ledger, promise, findings, unsaid)
                case Opened():
                    # A client that does not resume begins with the latest price.
                    self._expects = {}
                case Closed(code, reason):
                    self._expects = {}
                    findings.words[f"closed {code}" if code else "connection lost"] += 1
                case Resumed(symbol, is_recovered, reason):
                    self._expects[symbol] = is_recovered
                    if not is_recovered:
                        findings.words["recovered: false"] += 1
                        if not (promise.renumbers or promise.stops_resume or promise.loses_redis):
                            findings.add(
                                Kind.HOLE, self.name, f"{symbol} is not recovered: {reason}"
                            )
                case Conflated(skipped):
                    findings.words["conflated"] += 1
                    findings.counts["conflated"] += skipped
                    unsaid = []  # the word comes right behind the prices that it is about
                case FeedState(state):
                    if state == "down":
                        findings.words["feed down"] += 1
                case Unreadable(text):
                    findings.add(Kind.WRONG, self.name, f"a frame that cannot be read: {text}")
        for gap in unsaid:
            self._judge_gap(gap, ledger, shown, promise, until, findings)
        self._judge_last(ledger, shown, promise, findings)
        return findings

    def _take(
        self,
        price: Price,
        ledger: Ledger,
        promise: Promise,
        findings: Findings,
        unsaid: list[Gap],
    ) -> None:
        symbol, name = price.symbol, self.name
        published = ledger.find(symbol, price.n)
        if published is None or (published.price, published.timestamp) != (
            price.price,
            price.timestamp,
        ):
            findings.add(Kind.WRONG, name, f"{price} was never published")
        if price.epoch:
            number = (symbol, price.epoch, price.seq)
            if self._numbers.setdefault(number, price.n) != price.n:
                text = f"{price} has the number of tick {self._numbers[number]}"
                findings.add(Kind.DOUBLED, name, text)
        last = self.last.get(symbol)
        follows = self._expects.get(symbol, False)
        self._expects[symbol] = True
        if last is None or price.n >= last.n:
            self.last[symbol] = price
        if last is None:
            return
        if price.n < last.n:
            findings.add(Kind.REORDERED, name, f"{price} came after tick {last.n}")
        elif price.n == last.n:
            # Without resuming a connection begins with the latest price, whoever has it.
            if follows and not self._is_numbered_again(price, last, promise):
                findings.add(Kind.DOUBLED, name, f"{price} came twice")
        elif price.n > last.n + 1 and not self.only_newest:
            if follows:
                unsaid.append(Gap(symbol, last.n, price.n))
            else:
                findings.counts["skipped"] += price.n - last.n - 1
        if self.every_tick and follows and last.epoch:
            if price.epoch != last.epoch:
                findings.add(Kind.HOLE, name, f"{price}: a new epoch without 4410")
            elif price.seq > last.seq + 1:
                findings.add(Kind.HOLE, name, f"{price} came after seq {last.seq}")

    def _is_numbered_again(self, price: Price, last: Price, promise: Promise) -> bool:
        """Return whether a price shown before has another number now."""
        if self.every_tick:
            return False
        if not last.epoch:
            return True  # a bridge has numbered what was shown while there was none
        return promise.renumbers and price.epoch != last.epoch

    def _judge_gap(
        self,
        gap: Gap,
        ledger: Ledger,
        shown: Mapping[str, Set[int]],
        promise: Promise,
        until: int,
        findings: Findings,
    ) -> None:
        # What nobody has was lost on the way to the bridge, which history's account judges.
        there = shown.get(gap.symbol, set())
        missing = [
            tick for tick in ledger.between(gap.symbol, gap.after, gap.before) if tick.n in there
        ]
        if not missing:
            return
        findings.counts["skipped"] += len(missing)
        if not promise.stops_lanes or self.every_tick or missing[-1].timestamp > until:
            numbers = ", ".join(str(tick.n) for tick in missing[:SHOWN_TEXTS])
            findings.add(
                Kind.HOLE, self.name, f"{gap.symbol}: {len(missing)} ticks are missing: {numbers}"
            )

    def _judge_last(
        self,
        ledger: Ledger,
        shown: Mapping[str, Set[int]],
        promise: Promise,
        findings: Findings,
    ) -> None:
        for symbol in ledger.symbols():
            wanted = ledger.last_acknowledged(symbol)
            if promise.loses_redis and wanted not in shown.get(symbol, set()):
                # Redis lost it, which history's account judges.
                wanted = max((n for n in shown.get(symbol, set()) if n < wanted), default=0)
            last = self.last.get(symbol)
            if wanted and (last is None or last.n < wanted):
                text = f"{symbol}: the last price is {last}, published was tick {wanted}"
                findings.add(Kind.LAST, self.name, text)
