"""Text frames of Kite's ticker: JSON with a `type` of error or message, and text as `data`."""

from datetime import datetime

import msgspec

from instruments.sessions import IST
from quotes.websocket.protocol import ControlFrame

_MAX_NAMED = 3

_encode = msgspec.json.Encoder().encode


def text_of(frame: ControlFrame) -> bytes | None:
    """Return the JSON of a frame that is no price; None for what Kite has no words for."""
    kind, values = frame.kind, frame.values
    if kind == "error":
        return _text("error", values["message"])
    if kind == "subscribed" and values["rejected"]:
        return _text("error", _rejected(values["rejected"]))
    if kind == "status" and values["status"] == "token_expiring":
        ends = datetime.fromtimestamp(values["expires"] / 1000, IST)
        return _text(
            "message", f"the access token ends at {ends:%H:%M:%S} IST: connect with a new one"
        )
    if kind == "status" and values.get("dropped"):
        return _text("message", f"no longer entitled to {_listed(values['dropped'])}")
    return None


def _text(kind: str, data: str) -> bytes:
    return _encode({"type": kind, "data": data})


def _rejected(items: list[dict[str, str]]) -> str:
    """Return why instruments were refused: each reason once, with some of their names."""
    names: dict[str, list[str]] = {}
    for one in items:
        names.setdefault(one["message"], []).append(one["symbol"])
    return "; ".join(f"{reason}: {_listed(some)}" for reason, some in names.items())


def _listed(names: list[str]) -> str:
    more = len(names) - _MAX_NAMED
    shown = ", ".join(names[:_MAX_NAMED])
    return f"{shown} and {more} more" if more > 0 else shown
