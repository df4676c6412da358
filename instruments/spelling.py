"""Spelling: the instruments that a name means but for the case of its letters; pure.

For what people type. Publishers' names are theirs: `stock:reliance` is not `stock:RELIANCE`.
"""

from collections.abc import Sequence

from instruments import resolving, vendors
from instruments.errors import InstrumentsError
from instruments.keys import InstrumentKey
from instruments.snapshot import MasterSnapshot


def segment_code(snapshot: MasterSnapshot, code: str) -> str:
    """Return a segment's code or alias as it is written, where only its case differs."""
    upper = code.upper()
    return upper if code not in snapshot.routes and upper in snapshot.routes else code


def spellings(snapshot: MasterSnapshot, name: str, segment: str = "") -> list[InstrumentKey]:
    """Return the instruments of the master that a name means if its case does not count.

    Args:
        segment: narrows a bare name, as in `resolving.resolve`.

    Returns:
        One for each symbol so spelled, in the order of precedence; the name is unambiguous if
        there is one.
    """
    upper = name.upper()
    found: dict[str, InstrumentKey] = {}
    if upper != name:
        try:
            key = resolving.resolve(snapshot, upper, segment=segment, strict=True)
        except InstrumentsError:
            pass
        else:
            found[key.symbol] = key
    segments, text = searched_segments(snapshot, upper, segment)
    for code in segments:
        for symbol in snapshot.cases.get(code, {}).get(text, ()):
            found.setdefault(symbol, InstrumentKey(code, symbol))
    return list(found.values())


def searched_segments(
    snapshot: MasterSnapshot, name: str, segment: str = ""
) -> tuple[Sequence[str], str]:
    """Return the segments in which a name is looked up, and its symbol."""
    code, rest = vendors.split(name)
    if code not in snapshot.prefixes:
        code, rest = segment, name
    if not code:
        return snapshot.precedence, rest
    return [one for route in snapshot.routes.get(code, ()) for one in route.segments], rest
