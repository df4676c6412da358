"""What the accounts find: breaches of promises, and counts for the table. Pure."""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """A promise that can be broken."""

    DOUBLED = "doubled"  # a tick, or a number (epoch, seq), was given twice
    REORDERED = "reordered"  # a price after a newer one
    HOLE = "hole"  # ticks are missing, and nothing said so
    WRONG = "wrong"  # a price, time or number that was not published
    LAST = "last price"  # the last price is not the one published last
    LOST = "lost"  # an acknowledged tick is not in history, and no gap says so
    CANDLE = "candle"  # a candle differs from the independent computation
    NO_RECOVERY = "no recovery"  # prices did not come back in time


@dataclass(frozen=True)
class Breach:
    """One broken promise, with what shows it."""

    kind: Kind
    where: str  # a client's name, or history
    text: str


@dataclass
class Findings:
    """What one account, or all of them, found in one trial.

    Attributes:
        words: what the server said of ticks that it did not deliver -> how often.
        counts: what was delivered, skipped and so on -> how many.
    """

    breaches: list[Breach] = field(default_factory=list)
    words: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, kind: Kind, where: str, text: str) -> None:
        self.breaches.append(Breach(kind, where, text))

    def merge(self, other: "Findings") -> None:
        self.breaches += other.breaches
        self.words += other.words
        self.counts += other.counts

    def count(self, kind: Kind) -> int:
        return sum(breach.kind is kind for breach in self.breaches)
