"""Rules of retention, as in QUOTES_KEEP_HISTORY; pure rules.

    ticks=90, 1m=400, NFO:ticks=7, NFO:1m=90

keeps ticks for 90 days and one-minute candles for 400, those of NFO for 7 and 90, and everything
else for ever. Days are Indian dates and include today. `ticks=6h` keeps the last six hours, and the
rest of the hour before.
"""

import re
from datetime import date, timedelta
from typing import NamedTuple

from quotes.errors import BadRetention, quoted
from quotes.history.candles.intervals import LABELS, STORED
from quotes.runtime.clock import midnight_of

TICKS = "ticks"
_KINDS = (TICKS, *(LABELS[interval] for interval in STORED))
_HOUR_MS = 3_600_000
_AGE = re.compile(r"0*([1-9][0-9]{0,4})(h?)", re.ASCII)


class Age(NamedTuple):
    """How long something is kept: a number of Indian days, or of hours."""

    number: int
    in_hours: bool = False

    def cutoff(self, *, today: date, now_ms: int) -> int:
        """Return the first moment that is kept.

        Args:
            today: the Indian date.
        """
        if not self.in_hours:
            return midnight_of(today - timedelta(days=self.number - 1))
        # Whole hours of the day: no stored candle but that of the day loses a part of its ticks.
        midnight = midnight_of(today)
        return now_ms - self.number * _HOUR_MS - (now_ms - midnight) % _HOUR_MS


# Segment ("" for those without a rule of their own) and kind -> how long it is kept.
Rules = dict[tuple[str, str], Age]


def parse_retention(text: str) -> Rules:
    """Return the rules of a setting.

    Raises:
        BadRetention: a rule is malformed.
    """
    rules: Rules = {}
    for rule in text.split(","):
        if not rule.strip():
            continue
        name, _, age = (part.strip() for part in rule.partition("="))
        segment, _, kind = name.rpartition(":")
        found = _AGE.fullmatch(age)
        if kind not in _KINDS or found is None:
            raise BadRetention(
                "a rule must be KIND=DAYS, KIND=HOURSh or SEGMENT:KIND=DAYS "
                f"(kinds: {', '.join(_KINDS)}), got {quoted(rule.strip())}"
            )
        rules[segment, kind] = Age(int(found[1]), bool(found[2]))
    return rules


def age_kept(rules: Rules, segment: str, kind: str) -> Age | None:
    """Return how long a kind of a segment is kept; None: for ever."""
    return rules.get((segment, kind), rules.get(("", kind)))
