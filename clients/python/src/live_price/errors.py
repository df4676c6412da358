"""What can go wrong, as exceptions.

PriceError                 any failure; `code` says which
  SymbolError              one symbol is refused
  AuthenticationError      the token is missing, bad or has ended
  ConnectionLost           the connection ended, or could not be made
"""

from collections.abc import Sequence

# Codes of answers, closes and HTTP that are about the caller's credentials.
AUTHENTICATION_CODES = frozenset({401, 402, 4401, 4407, 4501})
LOST = 1006


class PriceError(Exception):
    """Any failure.

    Attributes:
        code: that of the server's answer or close frame, or of HTTP; 1006 for a lost connection.
        message: the sentence without the code.
    """

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message, code)
        self.message = message
        self.code = code

    def __str__(self) -> str:
        return f"{self.message} ({self.code})"


class SymbolError(PriceError):
    """One symbol is refused: it does not exist, or the user may not see it.

    Attributes:
        symbol: the name as it was subscribed.
        suggestions: instrument keys that may be meant.
    """

    def __init__(
        self, message: str, code: int, symbol: str, suggestions: Sequence[str] = ()
    ) -> None:
        super().__init__(message, code)
        self.symbol = symbol
        self.suggestions = tuple(suggestions)

    def __str__(self) -> str:
        return f"{self.symbol}: {self.message} ({self.code})"


class AuthenticationError(PriceError):
    """The token is missing, not valid, has ended, or its user may not enter any more."""


class ConnectionLost(PriceError):
    """The connection ended, or could not be made."""


def error_of(message: str, code: int) -> PriceError:
    """Return the error of an answer or a close frame."""
    if code in AUTHENTICATION_CODES:
        return AuthenticationError(message, code)
    return PriceError(message, code)
