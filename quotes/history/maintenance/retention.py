"""Rules of retention, as in QUOTES_KEEP_HISTORY; pure rules.

    ticks=90, 1m=400, NFO:ticks=7, NFO:1m=90

keeps ticks for 90 days and one-minute candles for 400, those of NFO for 7 and 90, and everything
else for ever. Days are Indian dates and include today.
"""

from quotes.errors import BadRetention, quoted
from quotes.history.candles.intervals import LABELS, STORED

TICKS = "ticks"
_KINDS = (TICKS, *(LABELS[interval] for interval in STORED))

# Segment ("" for those without a rule of their own) and kind -> days.
Rules = dict[tuple[str, str], int]


def parse_retention(text: str) -> Rules:
    """Return the rules of a setting.

    Raises:
        BadRetention: a rule is malformed.
    """
    rules: Rules = {}
    for rule in text.split(","):
        if not rule.strip():
            continue
        name, equals, days = (part.strip() for part in rule.partition("="))
        segment, _, kind = name.rpartition(":")
        if not equals or kind not in _KINDS or not days.isdecimal() or int(days) < 1:
            raise BadRetention(
                f"a rule must be KIND=DAYS or SEGMENT:KIND=DAYS (kinds: {', '.join(_KINDS)}), "
                f"got {quoted(rule.strip())}"
            )
        rules[segment, kind] = int(days)
    return rules


def days_kept(rules: Rules, segment: str, kind: str) -> int | None:
    """Return how many days a kind of a segment is kept; None: for ever."""
    return rules.get((segment, kind), rules.get(("", kind)))
