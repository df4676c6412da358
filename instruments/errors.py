"""Errors of the instruments app.

InstrumentsError
├── BadSymbol         400  not a symbol at all
├── BadSegment        400  no segment is called so
├── UnknownSymbol     404  the instrument master does not know it
├── AmbiguousSymbol   400  more than one reading fits; the text lists them
└── BadFile           400  an instrument file is broken as a whole
"""


def quoted(value: object) -> str:
    """Return the repr of a value that came from outside, cut at 75 characters."""
    text = repr(value)
    return text if len(text) <= 75 else text[:72] + "..."


class InstrumentsError(Exception):
    """Base of the app's errors; `code` is stable and is what clients see."""

    code = 400


class BadSymbol(InstrumentsError, ValueError):
    """The text can be no symbol."""


class BadSegment(InstrumentsError, ValueError):
    """Neither a segment nor anybody's code for one."""


class UnknownSymbol(InstrumentsError, LookupError):
    """The instrument master does not know the name."""

    code = 404


class AmbiguousSymbol(InstrumentsError, LookupError):
    """More than one instrument fits the name."""


class BadFile(InstrumentsError, ValueError):
    """An instrument file is broken as a whole, at a line of it if one can be told."""

    def __init__(self, reason: str, *, line: int = 0) -> None:
        super().__init__(reason)
        self.line = line

    def __str__(self) -> str:
        reason = super().__str__()
        return f"line {self.line}: {reason}" if self.line else reason
