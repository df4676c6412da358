"""The part of the AsyncAPI document about Kite's ticker; docs/kite.md has it in words."""

from typing import Any

_TOKENS = {"type": "array", "items": {"type": "integer", "description": "An instrument token."}}
_CHANNEL = {"$ref": "#/channels/kite"}


def _action(name: str, values: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"a": {"const": name}, "v": values},
        "required": ["a", "v"],
    }


def _text(kind: str, description: str) -> dict[str, Any]:
    return {
        "type": "object",
        "description": description,
        "properties": {"type": {"const": kind}, "data": {"type": "string"}},
        "required": ["type", "data"],
    }


_SCHEMAS: dict[str, Any] = {
    "KiteSubscribe": _action("subscribe", _TOKENS),
    "KiteUnsubscribe": _action("unsubscribe", _TOKENS),
    "KiteMode": _action(
        "mode",
        {
            "type": "array",
            "items": [{"enum": ["ltp", "quote", "full"]}, _TOKENS],
            "minItems": 2,
            "maxItems": 2,
        },
    ),
    "KiteError": _text("error", "Why a message, or some of its instruments, were refused."),
    "KiteNotice": _text("message", "The token is about to end, or what is no longer entitled."),
    "KitePackets": {
        "type": "string",
        "format": "binary",
        "description": "Two bytes: how many packets. Each packet: two bytes, its length; then 8 "
        "bytes in the mode ltp, 44 in quote (28 of an index), 184 in full (32 of an index), all "
        "numbers big-endian. One zero byte alone is a heartbeat.",
    },
}


def _message(name: str, schema: str, example: Any = None) -> dict[str, Any]:
    is_binary = schema == "KitePackets"
    return {
        "name": name,
        "title": name,
        "contentType": "application/octet-stream" if is_binary else "application/json",
        "payload": {"$ref": f"#/components/schemas/{schema}"},
        **({"examples": [{"payload": example}]} if example else {}),
    }


_MESSAGES = {
    "kiteSubscribe": _message("subscribe", "KiteSubscribe", {"a": "subscribe", "v": [738561]}),
    "kiteUnsubscribe": _message(
        "unsubscribe", "KiteUnsubscribe", {"a": "unsubscribe", "v": [738561]}
    ),
    "kiteMode": _message("mode", "KiteMode", {"a": "mode", "v": ["full", [738561]]}),
    "kitePackets": _message("packets", "KitePackets"),
    "kiteError": _message("error", "KiteError", {"type": "error", "data": "not entitled to NFO"}),
    "kiteNotice": _message("message", "KiteNotice"),
}


def _messages(*names: str) -> list[dict[str, str]]:
    return [{"$ref": f"#/channels/kite/messages/{name}"} for name in names]


SOCKET_DOCUMENT: dict[str, Any] = {
    "channels": {
        "kite": {
            "address": "/kite",
            "title": "Kite's ticker",
            "description": "The protocol of Kite Connect's ticker, for its official clients. No "
            "message is acknowledged.",
            "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in _MESSAGES},
            "bindings": {
                "ws": {
                    "method": "GET",
                    "query": {
                        "type": "object",
                        "properties": {
                            "api_key": {"type": "string", "description": "The name of a user."},
                            "access_token": {
                                "type": "string",
                                "description": "A token or an API key of that user.",
                            },
                        },
                    },
                    "bindingVersion": "0.1.0",
                }
            },
        }
    },
    "operations": {
        "kiteReceive": {
            "action": "receive",
            "summary": "Subscribe, set modes, unsubscribe.",
            "channel": _CHANNEL,
            "messages": _messages("kiteSubscribe", "kiteUnsubscribe", "kiteMode"),
        },
        "kiteSend": {
            "action": "send",
            "summary": "Packets of prices, heartbeats, errors and notices.",
            "channel": _CHANNEL,
            "messages": _messages("kitePackets", "kiteError", "kiteNotice"),
        },
    },
    "components": {"messages": _MESSAGES, "schemas": _SCHEMAS},
}
