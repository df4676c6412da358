"""The AsyncAPI document is valid, whole, and what docs/protocol.md and the server say."""

import ast
import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import msgspec
import pytest
from django.test import Client

from config.asyncapi import document
from quotes.screens.documents.sockets import read_channels, read_values
from quotes.websocket import frames
from quotes.websocket.protocol import ACTIONS, CloseCode, ErrorCode
from tests import other_clients
from tests.programs import ROOT

BLOCKS = re.findall(
    r"^```json (client|server|frame|publisher)\n(.*?)\n```$",
    (ROOT / "docs" / "protocol.md").read_text(),
    re.MULTILINE | re.DOTALL,
)
# A frame of doors that have to know who their client is; /live-price has none.
OF_OTHER_DOORS = {"anonymous"}


def validator(name: str) -> Any:
    found = document()
    schema = {"$ref": f"#/components/schemas/{name}", "components": found["components"]}
    return jsonschema.Draft7Validator(schema)


def frames_sent() -> Iterator[str]:
    """Yield the `type` of each frame that the code makes by `frame` or `answer`."""
    for path in sorted((ROOT / "quotes" / "websocket").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
                continue
            position = {"frame": 0, "answer": 1}.get(node.func.id)
            if position is None or len(node.args) <= position:
                continue
            kind = node.args[position]
            if isinstance(kind, ast.Constant) and isinstance(kind.value, str):
                yield kind.value


@pytest.mark.timeout(260)
def test_document_is_valid() -> None:
    """By the schema of AsyncAPI 3.0, from npm."""
    folder = other_clients.node_client(other_clients.NODE_ASYNCAPI)
    path = folder / "node_modules" / "@asyncapi" / "specs" / "schemas" / "3.0.0.json"
    served = json.loads(Client().get("/api/asyncapi.json").content)
    jsonschema.Draft7Validator(json.loads(path.read_text())).validate(served)
    assert served["servers"]["this"] == {"host": "testserver", "protocol": "ws"}


def test_every_action_and_every_frame_is_in_it() -> None:
    """Actions are those that the server reads, frames those that its code makes."""
    assert set(frames_sent()) == set(frames.BY_TYPE) | OF_OTHER_DOORS
    found = document()
    sent = [name for name, one in found["operations"].items() if one["action"] == "receive"]
    assert set(ACTIONS) <= set(sent)
    titles = {one["title"] for one in found["components"]["messages"].values()}
    assert {*ACTIONS, *frames.BY_TYPE, "price", "prices"} <= titles
    used = {
        each["$ref"].rpartition("/")[2]
        for operation in found["operations"].values()
        for each in [*operation["messages"], *operation.get("reply", {}).get("messages", ())]
    }
    assert used == set(found["components"]["messages"])


def test_every_code_is_in_it() -> None:
    """With what docs/protocol.md says of it."""
    channel = document()["channels"]["livePrice"]
    for name, codes in (("x-error-codes", ErrorCode), ("x-close-codes", CloseCode)):
        values = {one["code"]: one for one in channel[name]}
        assert {int(code) for code in codes} <= set(values)
        assert all(one["meaning"] for one in values.values())


@pytest.mark.parametrize(("speaker", "text"), BLOCKS)
def test_conversations_of_the_protocol_are_of_its_schemas(speaker: str, text: str) -> None:
    """What clients say and what the server says in docs/protocol.md."""
    value = json.loads(text)
    if isinstance(value, list):
        name = "LivePrices"
    elif speaker == "client":
        kind = ACTIONS.get(value["action"])
        if kind is None:
            return  # the example of an unknown action
        name = f"{kind.__name__.removesuffix('Request')}Request"
    elif "type" in value:
        frames.read(text)
        name = frames.BY_TYPE[value["type"]].__name__
    else:
        name = "LivePrice"
    validator(name).validate(value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SubscribeRequest", {"action": "subscribe", "symbol": 7}),
        ("SubscribeRequest", {"symbol": "A"}),
        ("SubscribeRequest", {"action": "list"}),
        ("ConfigureRequest", {"action": "configure", "mode": "fast"}),
        ("ConfigureRequest", {"action": "configure", "interval_ms": 60_001}),
        ("AuthenticateRequest", {"action": "authenticate"}),
        ("PongFrame", {"type": "pong", "feed": "live"}),
        ("PongFrame", {"type": "pong", "timestamp": 1, "feed": "asleep"}),
        ("LivePrice", {"symbol": "A", "price": 1.0}),
        ("LivePrice", {"type": "pong", "symbol": "A", "price": 1.0, "timestamp": 1712331900000}),
    ],
)
def test_other_messages_are_not_of_its_schemas(name: str, value: Any) -> None:
    with pytest.raises(jsonschema.ValidationError):
        validator(name).validate(value)


@pytest.mark.parametrize("text", ['{"type":"none"}', '{"type":"pong","timestamp":1}', "{}"])
def test_frames_are_read_strictly(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        frames.read(text)


def test_document_is_sent_once_to_who_has_it() -> None:
    first = Client().get("/api/asyncapi.json")
    again = Client().get("/api/asyncapi.json", headers={"If-None-Match": first["ETag"]})
    assert first["Content-Type"] == "application/json" and again.status_code == 304


def test_closed_doors_are_left_out(settings: Any) -> None:
    settings.QUOTES_DOORS = "socketio"
    assert list(document()["channels"]) == ["livePrice"]


def test_page_shows_every_message() -> None:
    """With its keys and examples."""
    found = document()
    live, kite = read_channels(found)
    assert {one.name for one in live.received} == set(ACTIONS)
    assert {one.name for one in live.sent} == {*frames.BY_TYPE, "price", "prices"}
    (subscribe,) = (one for one in live.received if one.name == "subscribe")
    assert subscribe.examples and {key.name for key in subscribe.keys} >= {"action", "symbols"}
    assert len(kite.sent) == 3 and "Rejection" in {one.name for one in read_values(found)}
    text = Client().get("/api/sockets/").content.decode()
    assert all(f"<code>{name}</code>" in text for name in (*ACTIONS, *frames.BY_TYPE))
