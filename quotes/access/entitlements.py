"""Entitlements: the segments whose prices a user may see, in real time or late. Pure, no I/O.

Grants are stored by `models.py` and read by `selectors.py`.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

from instruments.keys import SEGMENTS, InstrumentKey
from quotes.errors import quoted

EVERY = "*"
# The names that are not in the instrument master: they are of no segment.
OTHER = "OTHER"
CODES = (*SEGMENTS, OTHER)
MAX_DELAY_MINUTES = 1440


class Grant(NamedTuple):
    """One segment that a user may see.

    Attributes:
        segment: a segment's code, OTHER or EVERY.
        delay_minutes: how late prices come; 0: in real time.
        valid_from, valid_until: the first and the last Indian date; None: no limit.
        is_whole: whether one subscription may be to all instruments of the segment.
    """

    segment: str
    delay_minutes: int = 0
    valid_from: date | None = None
    valid_until: date | None = None
    is_whole: bool = False

    def holds_on(self, day: date) -> bool:
        return (self.valid_from is None or self.valid_from <= day) and (
            self.valid_until is None or day <= self.valid_until
        )


@dataclass(frozen=True, slots=True)
class Entitlements:
    """What a user may see on one day.

    Attributes:
        delays: a segment's code or OTHER -> the delay of its prices in minutes, 0: real time.
        whole: the segments of which one subscription may be to all instruments.
    """

    delays: dict[str, int] = field(default_factory=dict)
    whole: frozenset[str] = frozenset()

    def delay_of(self, key: InstrumentKey) -> int | None:
        """Return the delay in minutes of an instrument's prices; None: they may not be seen."""
        return self.delays.get(key.segment or OTHER)

    def within(self, codes: Collection[str]) -> "Entitlements":
        """Return what is left of them in some segments; no codes: all of them."""
        if not codes:
            return self
        return Entitlements({code: delay for code, delay in self.delays.items() if code in codes})

    @property
    def segments(self) -> list[str]:
        return [code for code in CODES if code in self.delays]

    @property
    def delayed(self) -> dict[str, int]:
        """The segments that come late, and their delays in minutes."""
        return {code: self.delays[code] for code in self.segments if self.delays[code]}


def not_entitled(key: InstrumentKey) -> str:
    """Return the text that refuses an instrument to a caller who may not see it."""
    return f"not entitled to {key.segment or 'symbols that are not in the instrument master'}"


def entitlements_of(grants: Iterable[Grant], *, today: date) -> Entitlements:
    """Return what grants allow on an Indian date; of several for a segment the soonest counts."""
    delays: dict[str, int] = {}
    whole: set[str] = set()
    for grant in grants:
        if grant.holds_on(today):
            codes = CODES if grant.segment == EVERY else (grant.segment,)
            for code in codes:
                delays[code] = min(delays.get(code, grant.delay_minutes), grant.delay_minutes)
            if grant.is_whole:
                whole.update(codes)
    return Entitlements(delays, frozenset(whole))


def parse_grants(text: str) -> list[Grant]:
    """Return the grants of a setting: `*`, or `NSE_EQ,NFO@15` with minutes of delay.

    Raises:
        ValueError: a segment does not exist, or a delay is out of bounds.
    """
    grants = []
    for item in filter(None, map(str.strip, text.split(","))):
        code, at, minutes = item.partition("@")
        if code not in (EVERY, *CODES):
            codes = ", ".join((EVERY, *CODES))
            raise ValueError(f"a segment must be one of {codes}, got {quoted(code)}")
        delay = int(minutes) if minutes.isascii() and minutes.isdigit() else 0 if not at else -1
        if not 0 <= delay <= MAX_DELAY_MINUTES:
            raise ValueError(
                f"a delay must be from 0 to {MAX_DELAY_MINUTES} minutes, got {quoted(minutes)}"
            )
        grants.append(Grant(code, delay))
    return grants


def parse_codes(text: str) -> frozenset[str]:
    """Return the codes of a comma-separated list, whatever they are."""
    return frozenset(filter(None, map(str.strip, text.split(","))))


def check_codes(text: str) -> frozenset[str]:
    """Return the segments of a comma-separated list, OTHER among them; raise ValueError."""
    codes = parse_codes(text)
    if unknown := sorted(codes.difference(CODES)):
        raise ValueError(f"a segment must be one of {', '.join(CODES)}, got {quoted(unknown[0])}")
    return codes
