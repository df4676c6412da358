"""A readable page of an AsyncAPI document: channels, their messages, and the keys of each."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

_Node = Mapping[str, Any]


def with_code(text: str) -> SafeString:
    """Return a text of the document as HTML: what is between backticks is code."""
    parts = text.split("`")
    return format_html_join(
        "",
        "{}",
        (
            (format_html("<code>{}</code>", part) if number % 2 else part,)
            for number, part in enumerate(parts)
        ),
    )


class Key(NamedTuple):
    """A key of a message or of a value in it."""

    name: str
    type: str
    is_required: bool
    description: str


class Message(NamedTuple):
    """A message of a channel, or a value in messages.

    Attributes:
        examples: their texts.
        answers: names of the messages that answer it.
    """

    name: str
    anchor: str
    summary: str
    keys: list[Key]
    examples: list[str]
    answers: list[str]


class Channel(NamedTuple):
    title: str
    address: str
    description: str
    received: list[Message]
    sent: list[Message]
    error_codes: list[_Node]
    close_codes: list[_Node]


def read_channels(document: _Node) -> list[Channel]:
    """Return the channels of a document."""
    return [_channel(document, name, values) for name, values in document["channels"].items()]


def read_values(document: _Node) -> list[Message]:
    """Return the values that messages have in common, by name."""
    schemas: dict[str, _Node] = document["components"]["schemas"]
    payloads = {
        _last(message["payload"].get("$ref", ""))
        for message in document["components"]["messages"].values()
    }
    return [
        Message(
            name, f"value-{name}", with_code(schema.get("description", "")), _keys(schema), [], []
        )
        for name, schema in schemas.items()
        if name not in payloads and "properties" in schema
    ]


def _channel(document: _Node, name: str, values: _Node) -> Channel:
    sent: list[Message] = []
    received: list[Message] = []
    for message in values["messages"]:
        found = document["components"]["messages"][message]
        operations = list(_operations_of(document, name, message))
        is_received = any(one["action"] == "receive" for one in operations)
        answers = [
            _last(each["$ref"])
            for one in operations
            for each in one.get("reply", {}).get("messages", ())
            if one["action"] == "receive"
        ]
        one = _message(document, f"{name}-{message}", found, answers if is_received else [])
        (received if is_received else sent).append(one)
    return Channel(
        values["title"],
        values["address"],
        with_code(values.get("description", "")),
        received,
        sent,
        _codes(values, "x-error-codes"),
        _codes(values, "x-close-codes"),
    )


def _codes(values: _Node, name: str) -> list[_Node]:
    return [{**one, "meaning": with_code(one.get("meaning", ""))} for one in values.get(name, ())]


def _operations_of(document: _Node, channel: str, message: str) -> Iterator[_Node]:
    reference = f"#/channels/{channel}/messages/{message}"
    for operation in document["operations"].values():
        if any(one["$ref"] == reference for one in operation["messages"]):
            yield operation


def _message(document: _Node, anchor: str, values: _Node, answers: list[str]) -> Message:
    payload = values["payload"]
    name = _last(payload.get("$ref", ""))
    schema = document["components"]["schemas"].get(name, payload)
    examples = [
        json.dumps(one["payload"], ensure_ascii=False) for one in values.get("examples", ())
    ]
    summary = values.get("summary") or schema.get("description", "")
    return Message(values["title"], anchor, with_code(summary), _keys(schema), examples, answers)


def _keys(schema: _Node) -> list[Key]:
    required = schema.get("required", ())
    return [
        Key(name, type_text(inner), name in required, with_code(inner.get("description", "")))
        for name, inner in schema.get("properties", {}).items()
    ]


def type_text(schema: Any) -> str:
    """Return what a value is, in a few words."""
    if not isinstance(schema, Mapping):
        return "anything"
    if "$ref" in schema:
        return _last(schema["$ref"])
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return " or ".join(json.dumps(value) for value in schema["enum"])
    if "anyOf" in schema:
        kinds = [type_text(one) for one in schema["anyOf"]]
        return " or ".join(kind for kind in kinds if kind != "null")
    kind = schema.get("type", "anything")
    if isinstance(kind, list):
        return " or ".join(kind)
    if kind == "array":
        items = schema.get("items")
        if isinstance(items, list):
            return f"[{', '.join(map(type_text, items))}]"
        return f"list of {type_text(items)}"
    if kind == "object" and "additionalProperties" in schema:
        return f"object of {type_text(schema['additionalProperties'])}"
    return str(kind)


def _last(reference: str) -> str:
    return reference.rpartition("/")[2]
