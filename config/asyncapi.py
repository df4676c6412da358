"""The AsyncAPI document of the WebSockets, made of the types of their messages.

Examples are the conversations of docs/protocol.md, which the tests hold with the server. AsyncAPI
describes the server: what clients send it receives.
"""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from django.conf import settings

from config import doors
from quotes.conf import conf
from quotes.tick_schema import SCHEMAS, Schema, reference
from quotes.websocket import frames
from quotes.websocket.protocol import ACTIONS, CloseCode, ErrorCode, Since

Document = dict[str, Any]

_VERSION = "1"
_MOST_EXAMPLES = 3
_BLOCK = re.compile(r"^```json (client|server|frame)\n(.*?)\n```$", re.MULTILINE | re.DOTALL)
_TABLE_ROW = re.compile(r"^\| (\d+) \| (\w+) \| (.*?) \|$", re.MULTILINE)
# The number of a close code that the server sends on purpose -> of the WebSocket standard.
_STANDARD_CLOSES = {
    1007: "a text message is not UTF-8",
    1009: "a message is too long",
}
_SUMMARIES = {
    "subscribe": "Get the latest price of symbols, then each newer one.",
    "unsubscribe": "Get them no longer.",
    "list": "Ask for what the connection is subscribed to.",
    "ping": "Ask whether the server answers.",
    "configure": "Set how the connection receives prices.",
    "market_status": "Ask for what segments are doing.",
    "authenticate": "Bring a token, or a newer one.",
}
_KEYS = {
    "id": "Repeated in the answer: a number, or text of at most 64 characters.",
    "symbol": "One symbol, in any form that the market uses.",
    "symbols": "Many symbols; `*`: all of `segment`.",
    "segment": "Narrows bare names to a segment.",
    "underlying": "The underlying of an option chain.",
    "expiry": "The day on which the options expire. Default: the next one.",
    "strikes_around": "How many strikes on each side of the money. Default: all.",
    "follow": "Whether the subscriptions move along when the money does.",
    "mode": "The fields of each price.",
    "conflate": "false: every tick, or the connection is closed with 4410.",
    "seq": "true: each price has `epoch` and `seq`.",
    "history": "Past ticks or candles to send first.",
    "since": "The last position received, or one for each symbol: missed ticks come first.",
    "candles": "Candles of this interval instead of prices: 1m, 5m, 1d, ...",
    "batch": "true: prices come as arrays.",
    "interval_ms": "At most one price a symbol and interval; 0: as they come.",
    "token": "A token or an API key.",
}


def document() -> Document:
    """Return the document; its server is the address that it was read from."""
    found: Document = {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Live prices",
            "version": _VERSION,
            "description": "Prices of Indian markets as they change. A frame without `type` is a "
            "price; every other frame has one. Later versions may add keys and frames: ignore what "
            "you do not know.",
            "externalDocs": {"description": "The protocol in words", "url": "/docs/protocol/"},
        },
        "defaultContentType": "application/json",
        "channels": {"livePrice": _channel()},
        "operations": _operations(),
        "components": {
            "messages": _messages(),
            "schemas": _schemas(),
            "securitySchemes": _SECURITY_SCHEMES,
        },
    }
    for part in doors.socket_documents():
        for name in ("channels", "operations"):
            found[name] |= part[name]
        for name, values in part["components"].items():
            found["components"][name] |= values
    return found


_SECURITY_SCHEMES: Document = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "An access token in the header Authorization of the handshake.",
    },
    "apiKey": {
        "type": "httpApiKey",
        "in": "header",
        "name": "Authorization",
        "description": "`Api-Key`, a space, and the key.",
    },
    "ticket": {
        "type": "httpApiKey",
        "in": "query",
        "name": "ticket",
        "description": "Of POST /api/ws-ticket/: it opens one socket within 30 s.",
    },
    "subprotocol": {
        "type": "httpApiKey",
        "in": "header",
        "name": "Sec-WebSocket-Protocol",
        "description": "For browsers: the subprotocols `live-price` and `bearer.` + token.",
    },
}


def _channel() -> Document:
    names = [*map(_camel, ACTIONS), "price", "prices", *map(_frame_name, frames.BY_TYPE)]
    return {
        "address": "/live-price",
        "title": "Live prices",
        "description": "Open a WebSocket, subscribe to symbols, and receive each price the moment "
        "it changes. Subprotocols: `live-price` (or none) for JSON; `live-price.msgpack` for "
        "prices as binary frames of MessagePack with the same keys.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
        "bindings": {
            "ws": {
                "method": "GET",
                "query": {
                    "type": "object",
                    "properties": {
                        "ticket": {"type": "string", "description": "Opens the socket once."},
                        **(
                            {"token": {"type": "string", "description": "An access token."}}
                            if conf.query_token
                            else {}
                        ),
                    },
                },
                "bindingVersion": "0.1.0",
            }
        },
        "x-subprotocols": ["live-price", "live-price.msgpack"],
        "x-error-codes": _codes(ErrorCode),
        "x-close-codes": [
            *({"code": code, "meaning": text} for code, text in _STANDARD_CLOSES.items()),
            *_codes(CloseCode),
        ],
    }


def _codes(codes: Any) -> list[Document]:
    """Return each code with its name and, where the documents are, what it means."""
    meanings = {int(code): text for code, _, text in _TABLE_ROW.findall(_protocol_text())}
    return [
        {
            "code": int(code),
            "name": code.name,
            **({"meaning": meanings[code]} if code in meanings else {}),
            **({"connectAgain": code < 4500} if codes is CloseCode else {}),
        }
        for code in codes
    ]


def _operations() -> Document:
    """Return an operation for each action of clients, and one for each kind of frame unasked."""
    channel = {"$ref": "#/channels/livePrice"}

    def messages(*names: str) -> list[Document]:
        return [{"$ref": f"#/channels/livePrice/messages/{name}"} for name in names]

    security = [{"$ref": f"#/components/securitySchemes/{name}"} for name in _SECURITY_SCHEMES]
    if conf.auth == "optional":
        security = []
    found: Document = {}
    for action in ACTIONS:
        answers = [_frame_name(_type_of(kind)) for kind in frames.ANSWERS[action]]
        found[action] = {
            "action": "receive",
            "title": action,
            "summary": _SUMMARIES[action],
            "channel": channel,
            "messages": messages(_camel(action)),
            "reply": {"channel": channel, "messages": messages(*answers, "errorFrame")},
            **({"security": security} if security else {}),
        }
    unasked = {
        "sendPrices": ("Prices of what the client subscribes to.", ("price", "prices")),
        "sendCandles": ("Candles that changed.", ("candleFrame",)),
        "sendNotices": (
            "What the client did not ask for.",
            tuple(
                _frame_name(name)
                for name in (
                    "heartbeat",
                    "conflated",
                    "reconnect",
                    "status",
                    "market_status",
                    "chain",
                )
            ),
        ),
    }
    for name, (summary, sent) in unasked.items():
        found[name] = {
            "action": "send",
            "summary": summary,
            "channel": channel,
            "messages": messages(*sent),
        }
    return found


def _type_of(kind: type[frames.ServerFrame]) -> str:
    return str(kind.__struct_config__.tag)


def _camel(name: str) -> str:
    first, *words = name.split("_")
    return first + "".join(word.title() for word in words)


def _frame_name(name: str) -> str:
    """Return the name of a frame's message, by its type; a request's is the action."""
    return f"{_camel(name)}Frame"


def _messages() -> Document:
    examples = _examples()
    found: Document = {}
    for action, kind in ACTIONS.items():
        found[_camel(action)] = _message(
            action, _SUMMARIES[action], reference(_schema_name(kind)), examples.get(action, [])
        )
    for name, frame in frames.BY_TYPE.items():
        summary = (frame.__doc__ or "").strip().partition("\n")[0]
        found[_frame_name(name)] = _message(
            name, summary, reference(frame.__name__), examples.get(f"type {name}", [])
        )
    found["price"] = _message(
        "price",
        "A price that changed. It has no `type`.",
        reference("LivePrice"),
        examples.get("price", []),
    )
    found["prices"] = _message(
        "prices",
        "Prices that are due together, for clients that have configured `batch`.",
        reference("LivePrices"),
        examples.get("prices", []),
    )
    return found


def _message(name: str, summary: str, payload: Schema, examples: list[Any]) -> Document:
    return {
        "name": name,
        "title": name,
        "summary": summary,
        "contentType": "application/json",
        "payload": payload,
        **({"examples": [{"payload": one} for one in examples]} if examples else {}),
    }


def _schema_name(request: type[Any]) -> str:
    return (
        request.__name__ if request.__name__.endswith("Request") else f"{request.__name__}Request"
    )


@cache
def _schemas() -> dict[str, Schema]:
    kinds = [*frames.FRAMES, *ACTIONS.values(), Since]
    _, found = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    for action, kind in ACTIONS.items():
        schema = found.pop(kind.__name__)
        schema["title"] = _schema_name(kind)
        _describe_request(schema, action)
        found[_schema_name(kind)] = schema
    for schema in found.values():
        # Later versions may add keys; that none is missing here is for the tests.
        schema.pop("additionalProperties", None)
    for name in ("HistoryFrame",):
        found[name]["properties"]["ticks"]["items"] = reference("LivePrice")
    found |= SCHEMAS
    price = found.pop("Price")
    number = {"type": "integer", "minimum": 0}
    found["LivePrice"] = {
        **price,
        "title": "LivePrice",
        # What has a type is another frame.
        "properties": {
            **price["properties"],
            "change": {"type": "number", "description": "Since prev_close, in rupees."},
            "change_pct": {"type": "number", "description": "Since prev_close, in percent."},
            "epoch": {**number, "description": "With seq: when the numbering began."},
            "seq": {**number, "description": "With seq: the number within the epoch."},
        },
        "not": {"required": ["type"]},
    }
    found["LivePrices"] = {
        "title": "LivePrices",
        "type": "array",
        "items": {
            "anyOf": [
                {**reference("LivePrice")},
                {**reference("CandleFrame")},
            ]
        },
        "minItems": 1,
    }
    return dict(sorted(found.items()))


def _describe_request(schema: Schema, action: str) -> None:
    """Make of a request's schema that of its message: what it is called by, and its keys."""
    properties = schema["properties"]
    del properties["warnings"]  # the server's own
    if "since" in properties:
        each = {"type": "object", "additionalProperties": reference("Since")}
        properties["since"] = {"anyOf": [reference("Since"), each, {"type": "null"}]}
    for name, inner in properties.items():
        inner["description"] = _KEYS[name]
        if inner.get("default", 0) in (None, ""):
            del inner["default"]
    schema["properties"] = {"action": {"const": action}, **properties}
    schema["required"] = ["action", *schema.get("required", [])]


@cache
def _protocol_text() -> str:
    """Return docs/protocol.md; "" where the program is installed without its documents."""
    path = Path(settings.BASE_DIR) / "docs" / "protocol.md"
    return path.read_text() if path.exists() else ""


@cache
def _examples() -> dict[str, list[Any]]:
    """Return messages of docs/protocol.md, the first of each kind.

    Returns:
        An action, `type TYPE`, `price` or `prices` -> what is sent.
    """
    found: dict[str, list[Any]] = {}
    for speaker, text in _BLOCK.findall(_protocol_text()):
        value = json.loads(text)
        if isinstance(value, list):
            name = "prices"
        elif speaker == "client":
            name = value["action"]
        else:
            name = f"type {value['type']}" if "type" in value else "price"
        some = found.setdefault(name, [])
        # Longer ones first: they show more keys.
        some.append(value)
    return {
        name: sorted(some, key=lambda one: -len(one))[:_MOST_EXAMPLES]
        for name, some in found.items()
        if name in ("price", "prices") or name in ACTIONS or name.startswith("type ")
    }
