"""Errors of the instruments app.

InstrumentsError
├── BadSymbol         400  the text is not a symbol
├── BadSegment        400  the text is not the code of a segment
├── UnknownSymbol     404  the name is not in the instrument master
├── AmbiguousSymbol   400  the name can mean several instruments; the text lists them
└── BadFile           400  an instrument file cannot be read
"""

from collections.abc import Sequence


def quoted(value: object) -> str:
    """Return the repr of a value that came from outside, cut at 75 characters."""
    text = repr(value)
    return text if len(text) <= 75 else text[:72] + "..."


class InstrumentsError(Exception):
    """Base of the app's errors; `code` is stable and is what clients see.

    Attributes:
        suggestions: keys of instruments that an unknown name may be meant for; None: not looked
            for.
    """

    code = 400
    suggestions: Sequence[str] | None = None


class BadSymbol(InstrumentsError, ValueError):
    """The text is not a symbol."""


class BadSegment(InstrumentsError, ValueError):
    """The text is not the code of a segment, nor a vendor's."""


class UnknownSymbol(InstrumentsError, LookupError):
    """The name is not in the instrument master."""

    code = 404


class AmbiguousSymbol(InstrumentsError, LookupError):
    """The name can mean several instruments."""


class BadFile(InstrumentsError, ValueError):
    """An instrument file cannot be read; `line` is where, 0 if unknown."""

    def __init__(self, reason: str, *, line: int = 0) -> None:
        super().__init__(reason)
        self.line = line

    def __str__(self) -> str:
        reason = super().__str__()
        return f"line {self.line}: {reason}" if self.line else reason
