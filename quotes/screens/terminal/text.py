"""Numbers and times as the terminal shows them."""

from collections.abc import Sequence
from decimal import Decimal

_BLOCKS = "▁▂▃▄▅▆▇█"
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


def grouped(value: Decimal | int | None) -> str:
    """Return a number with Indian grouping: 12,34,567.80; "" without one."""
    if value is None:
        return ""
    whole, point, fraction = f"{abs(Decimal(value)):f}".partition(".")
    head, parts = whole[:-3], [whole[-3:]]
    while head:
        parts.insert(0, head[-2:])
        head = head[:-2]
    return f"{'-' if value < 0 else ''}{','.join(parts)}{point}{fraction}"


def signed(value: Decimal) -> str:
    """Return a change with its sign; none for no change."""
    return f"+{grouped(value)}" if value > 0 else grouped(value)


def percent(change: Decimal, base: Decimal) -> str:
    """Return a change in percent of a base; "" if there is none."""
    if not base:
        return ""
    return signed(round(change / abs(base) * 100, 2)) + "%"


def age(milliseconds: float) -> str:
    """Return how old a price is: `0.4 s`, `12 s`, `3 min`, `2 h`, `5 d`."""
    seconds = max(0.0, milliseconds / 1000)
    for unit, name in _UNITS:
        if seconds >= unit:
            return f"{seconds // unit:.0f} {name}"
    return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"


def sparkline(prices: Sequence[Decimal], width: int) -> str:
    """Return a line of blocks, the newest price on the right."""
    shown = list(prices)[-width:] if width > 0 else []
    if not shown:
        return ""
    lowest, highest = min(shown), max(shown)
    if lowest == highest:
        return _BLOCKS[3] * len(shown)
    last = len(_BLOCKS) - 1
    return "".join(_BLOCKS[int((one - lowest) * last / (highest - lowest))] for one in shown)
