"""Numbers of a tick, as the text of JSON numbers: they keep the digits that came in."""

import re
from decimal import Decimal

from quotes.errors import BadTick, quoted

MAX_DIGITS = 30

# A number without an exponent, of up to 27 digits: nearly all are.
PLAIN_NUMBER = rb"-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,12})?"
JSON_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?")
_NUMBER_START = frozenset(b"-0123456789")


def number_text(name: str, text: bytes) -> bytes:
    """Return the text of a JSON number, without the quotes that it may have.

    Args:
        text: a value that a decoder of JSON has found.

    Raises:
        BadTick: it is no finite number, or has too many digits.
    """
    if text[0] in _NUMBER_START and len(text) <= MAX_DIGITS and b"e" not in text.lower():
        return text  # the decoder has checked the syntax
    if text[:1] == b'"':
        text = text[1:-1]
    if not JSON_NUMBER.fullmatch(text):
        raise BadTick(f"{name} must be a finite number, got {quoted(text.decode())}")
    if len(text) > MAX_DIGITS or abs(Decimal(text.decode()).adjusted()) > MAX_DIGITS:
        raise BadTick(f"{name} must have at most {MAX_DIGITS} digits, got {quoted(text.decode())}")
    return text
