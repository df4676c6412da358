"""Wrong values of a client's message, in the words of docs/protocol.md instead of msgspec's."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import msgspec
from msgspec import inspect

from instruments.errors import quoted

_AT = re.compile(r"(?P<what>.*?)(?: - at `\$(?P<path>[^`]*)`)?", re.DOTALL)
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")
_MISSING = re.compile(r"Object missing required field `(.+)`")
_BOUND = re.compile(r"Expected `(\w+)` (>=|<=) (\S+)")
_EXPECTED = re.compile(r"Expected `([^`]+)`")
_KINDS = {
    **{"str": "text", "int": "a whole number", "float": "a number", "bool": "true or false"},
    **{"array": "a list", "object": "an object", "date": "a day as 2026-08-27"},
}


def wrong_value(error: msgspec.ValidationError, values: Any, kind: type[Any]) -> str:
    """Return what is wrong with a message, as in `mode must be one of ltp, quote, got 'x'`.

    Args:
        values: the message's JSON, decoded.
        kind: the type that it was to be converted to.
    """
    found = _AT.fullmatch(str(error))
    assert found is not None  # it matches any text
    what, steps = found["what"], _STEP.findall(found["path"] or "")
    name = (found["path"] or "").removeprefix(".")
    if missing := _MISSING.fullmatch(what):
        return f"{name or 'it'} needs {missing[1]}"
    wanted = _wanted(what, kind, [key for key, _ in steps if key])
    if not name or not wanted:
        return str(error)
    return f"{name} must be {wanted}, got {quoted(_value_at(values, steps))}"


def _wanted(what: str, kind: Any, keys: list[str]) -> str:
    """Return which values a key may have, "" if the error does not say."""
    if bound := _BOUND.match(what):
        side = "at least" if bound[2] == ">=" else "at most"
        return f"{_KINDS.get(bound[1], bound[1])} of {side} {bound[3]}"
    choices = [str(one) for one in _choices(kind, tuple(keys))]
    if what.startswith("Invalid enum value"):
        return f"one of {', '.join(choices)}" if len(choices) > 1 else f"a list, or {choices[0]!r}"
    if what.startswith("Invalid RFC3339 encoded date"):
        return _KINDS["date"]
    if expected := _EXPECTED.match(what):
        names = [one for one in expected[1].split(" | ") if one != "null"]
        return " or ".join(_KINDS.get(one, one) for one in names)
    return ""


@cache
def _choices(kind: Any, keys: tuple[str, ...]) -> tuple[Any, ...]:
    """Return the values of the literal type of a key."""
    types = [inspect.type_info(kind)]
    for key in keys:
        types = [
            field.type
            for one in _members(types)
            if isinstance(one, inspect.StructType)
            for field in one.fields
            if field.encode_name == key
        ]
    return tuple(
        value
        for one in _members(types)
        if isinstance(one, inspect.LiteralType)
        for value in one.values
    )


def _members(types: list[inspect.Type]) -> Iterator[inspect.Type]:
    """Yield types, and those of unions."""
    for one in types:
        if isinstance(one, inspect.UnionType):
            yield from one.types
        else:
            yield one


def _value_at(values: Any, steps: list[tuple[str, str]]) -> Any:
    for key, at in steps:
        values = values[key] if key else values[int(at)]
    return values
