"""docs/architecture.md names what is there, and all of the wings."""

import ast
import re
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.programs import ROOT

TEXT = (ROOT / "docs" / "architecture.md").read_text()
QUOTES = ROOT / "quotes"
WINGS = {path.parent.name for path in QUOTES.glob("*/__init__.py")}
MODULES = {path.stem for path in QUOTES.glob("*.py")} - {"__init__"}
NAMES = sorted(set(re.findall(rf"`((?:{'|'.join(WINGS | MODULES)})[./][\w./]+)`", TEXT)))


def found(name: str) -> bool:
    """Return whether a name is a path below quotes, or a module and something in it."""
    if (QUOTES / name).exists():
        return True
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        path = QUOTES.joinpath(*parts[:end])
        if path.with_suffix(".py").exists() or path.is_dir():
            thing: Any = import_module(".".join(["quotes", *parts[:end]]))
            for attribute in parts[end:]:
                thing = getattr(thing, attribute, None)
                if thing is None:
                    return False
            return True
    return False


@pytest.mark.parametrize("name", NAMES)
def test_each_name_is_there(name: str) -> None:
    """A module, class or function that the page names can be imported."""
    assert found(name)


def test_a_name_that_is_not_there_is_noticed() -> None:
    """The test above can fail."""
    assert len(NAMES) > 30
    assert not found("bridge.market.Market.nonsense") and not found("bridge/nonsense.py")


def test_each_wing_is_drawn_and_checked() -> None:
    """The picture has every wing, and so has the contract that import-linter checks."""
    picture = TEXT.split("```mermaid")[1].split("```")[0]
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (wings,) = [one for one in contracts["contracts"] if one["id"] == "wings"]
    layers = set(re.findall(r"\w+", " ".join(wings["layers"])))
    for wing in WINGS:
        assert f'{wing}["' in picture and wing in layers


def test_ways_have_ten_steps() -> None:
    """The way of a tick and the way of a subscribe are ten steps each."""
    for title in ("The way of a tick", "The way of a subscribe"):
        section = TEXT.split(f"## {title}\n")[1].split("\n## ")[0]
        assert re.findall(r"^\| (\d+) \|", section, re.MULTILINE) == [str(n) for n in range(1, 11)]


def test_contributing_names_commands_that_exist() -> None:
    """CONTRIBUTING.md's commands are targets of the Makefile, and files that exist."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", text, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
    for path in re.findall(r"`((?:tests|docs|\.ci)/[\w./]+)`", text):
        assert Path(ROOT / path).exists(), path


STARTERS = {
    *("create_task", "ensure_future", "run_coroutine_threadsafe", "TaskGroup"),
    *("Thread", "Timer", "start_new_thread"),
}
# What may start a task or thread beside `BackgroundTasks`, and why nothing ends silently there.
OWN_TASKS = {
    "quotes/doctor/running.py": "checks of a command that waits for them, with a deadline",
    "quotes/runtime/background.py": "starts all others",
    "quotes/runtime/redis_link.py": "one link's, which ends with its error",
    "quotes/bridge/flush.py": "the writer learns of each flush's error, and ends the session",
    "quotes/bridge/handover.py": "logs what goes wrong; the lease then goes without it",
    "quotes/bridge/fenced_writes.py": "the writer learns of each write's error, as of a flush's",
    "quotes/layer/lane_link.py": "the caller waits for it, or its error is logged",
    "quotes/layer/channel_layer.py": "the caller waits in its own loop, or the error is logged",
    "quotes/kafka/backlog_reader.py": "goes on after any error, and `/readyz` names it",
    "quotes/kafka/registry.py": "the caller waits for the answer, or the error",
    "quotes/websocket/request_queue.py": "one client's, which ends with its error",
    "quotes/websocket/transports/uvicorn.py": "one client's, which uvicorn waits for at its end",
    "quotes/websocket/transports/daphne.py": "Twisted waits for it at the end",
    "quotes/websocket/transports/draining.py": "it logs what goes wrong, and then is over",
    "quotes/websocket/transports/asgi.py": "one client's, which ends with its error",
    "quotes/socketio/application.py": "a poll's, which ends with its answer",
    "quotes/socketio/connection.py": "one client's, which ends with its error, or it is logged",
    "quotes/socketio/handover.py": "one request's, and it logs what goes wrong",
    "quotes/metrics/exporter.py": "catches all, logs it, and goes on",
    "quotes/metrics/deployment.py": "catches all, logs it, and goes on",
    "quotes/metrics/tracing.py": "catches all, logs it, and goes on",
    "quotes/metrics/readiness.py": "catches all, logs it, and goes on",
    "quotes/serve/supervisor.py": "they are all that it does: an error ends it",
    "quotes/serve/console.py": "catches whatever writing a line can raise",
    "quotes/access/credentials/jwks.py": "its future is done whatever the fetch raises",
    "quotes/access/credentials/jwks_fetch.py": "a timer that shuts sockets",
    "instruments/index.py": "catches all, and lists it in `failure`",
}


def calls_of(tree: ast.AST) -> list[tuple[ast.Call, str]]:
    """Return the calls in a module, each with the last part of the called name."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [
        (call, call.func.attr if isinstance(call.func, ast.Attribute) else call.func.id)
        for call in calls
        if isinstance(call.func, ast.Attribute | ast.Name)
    ]


def test_each_task_has_an_owner_that_learns_of_its_end() -> None:
    """`BackgroundTasks` starts tasks; nobody drops the result of work in a thread."""
    starting = set()
    for folder in ("quotes", "instruments", "config"):
        for path in (ROOT / folder).rglob("*.py"):
            tree = ast.parse(path.read_text())
            if any(name in STARTERS for _, name in calls_of(tree)):
                starting.add(str(path.relative_to(ROOT)))
            for node in ast.walk(tree):
                if isinstance(node, ast.Expr):
                    dropped = {name for call, name in calls_of(node.value) if call is node.value}
                    assert not dropped & {"run_in_executor", "submit", "to_thread"}, path
    assert starting == set(OWN_TASKS)
