"""docs/protocol.md is what the server does: its conversations are held, its tables compared."""

import json
import re
from enum import IntEnum
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from quotes.websocket.protocol import ACTIONS, CloseCode, ErrorCode
from tests.live import LiveServer
from tests.ticks import publish
from tests.waiting import eventually

TEXT = (Path(__file__).parent.parent / "docs" / "protocol.md").read_text()

# Values that differ from one run to the next; their types do not.
VARIABLE = {"timestamp", "last_tick", "feed"}


def sections() -> list[tuple[str, list[tuple[str, str]]]]:
    """Return each heading with its blocks: who speaks, and what."""
    found = []
    for section in re.split(r"^##+ ", TEXT, flags=re.MULTILINE)[1:]:
        blocks = re.findall(r"^```json (\w+)\n(.*?)\n```$", section, re.MULTILINE | re.DOTALL)
        if any(speaker == "client" for speaker, _ in blocks):
            found.append((section.partition("\n")[0], blocks))
    return found


def agrees(documented: Any, sent: Any, key: str = "") -> bool:
    if key in VARIABLE and isinstance(documented, str | int) and key != "feed":
        return type(documented) is type(sent)
    if key == "feed":
        return sent in ("live", "quiet", "down")
    if isinstance(documented, dict):
        return list(documented) == list(sent) and all(
            agrees(documented[name], sent[name], "" if "type" not in documented else name)
            for name in documented
        )
    return bool(documented == sent)


@pytest.mark.parametrize("blocks", [pytest.param(blocks, id=title) for title, blocks in sections()])
async def test_conversation_of_the_document_is_held(
    live: LiveServer, redis: Redis, blocks: list[tuple[str, str]]
) -> None:
    """Each block that the server says comes, in this order, with these keys and values."""
    published = 0
    async with live.client() as client:
        for speaker, text in blocks:
            value = json.loads(text)
            if speaker == "publisher":
                publish(redis, value["symbol"], text)
                published += 1
                await eventually(
                    lambda: live.bridges[0][0].market.counters.received == published  # noqa: B023
                )
            elif speaker == "client":
                await client.connection.send(text)
            elif speaker == "server":
                sent = await client.receive_text()
                assert agrees(value, json.loads(sent)), sent
                if "type" not in value:
                    assert sent == text  # digit for digit


@pytest.mark.parametrize(
    ("title", "codes"), [("Codes of errors", ErrorCode), ("Codes of closes", CloseCode)]
)
def test_tables_of_codes_are_complete(title: str, codes: type[IntEnum]) -> None:
    """The tables have each code of the server and no other."""
    section = TEXT.split(f"## {title}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (\d+) \| (\w+) \|", section, re.MULTILINE)
    assert [(int(code), name) for code, name in rows] == [(one.value, one.name) for one in codes]


def test_every_action_has_a_heading() -> None:
    """Each action that a client may send is described."""
    for action in ACTIONS:
        assert f"\n### {action}\n" in TEXT


def test_close_codes_say_whether_to_come_back() -> None:
    """Codes of this server's own are in the two ranges of the convention."""
    own = set(CloseCode) - {CloseCode.SERVICE_RESTART}
    assert all(4000 <= code < 5000 for code in own)


def test_frames_that_come_unasked_are_as_documented() -> None:
    """The heartbeat and the notice of conflation have the documented keys."""
    from quotes.websocket.protocol import frame

    frames = re.findall(r"^```json frame\n(.*?)\n```$", TEXT, re.MULTILINE)
    heartbeat, conflated = (
        json.loads(text) for text in frames if "heartbeat" in text or "conflated" in text
    )
    assert list(heartbeat) == ["type", "timestamp", "feed", "last_tick"]
    assert json.loads(frame("conflated", skipped=17).encode()) == conflated
