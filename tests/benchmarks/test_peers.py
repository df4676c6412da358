"""Peers as real processes: they send the latest price first and then every tick, in order."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.campaign import Results, contenders_of, run_one
from benchmarks.contenders import CONTENDERS
from benchmarks.dialects import centrifugo
from benchmarks.experiments import measure
from benchmarks.installing import CENTRIFUGO_MODULE, Needs, centrifugo_missing
from benchmarks.peers.centrifugo_feed import MOST, batches
from benchmarks.peers.feed import MessageReader
from benchmarks.stage import Stage
from benchmarks.workloads import WORKLOADS
from tests.waiting import wait_until

CHECK = replace(
    WORKLOADS["check"], clients=5, symbols=20, per_client=10, rate=200, duration_s=0.5, warm_s=0.1
)


@pytest.fixture(params=["picows", "centrifugo", "centrifugo-redis", "nchan"])
def peer(request: pytest.FixtureRequest) -> str:
    """The name of a peer that is installed here."""
    name: str = request.param
    missing = CONTENDERS[name].needs.missing()
    if missing:
        pytest.skip(f"{name}: {missing}")
    return name


def test_a_peer_sends_every_tick_once_and_in_order(peer: str, tmp_path: Path) -> None:
    """Every delivery arrives, and none is missing, repeated or late."""
    metrics = measure(CONTENDERS[peer], CHECK, tmp_path)
    assert (metrics["repeated"], metrics["reversed"], metrics["skipped"]) == (0, 0, 0)
    assert metrics["conflated"] == 0


@pytest.mark.parametrize("name", ["picows", "centrifugo", "centrifugo-redis"])
def test_a_peer_sends_the_latest_price_first(name: str, tmp_path: Path) -> None:
    """Each of many clients that connect at once has a price of each of its symbols, before
    anything else is published.
    """
    missing = CONTENDERS[name].needs.missing()
    if missing:
        pytest.skip(f"{name}: {missing}")
    with Stage(CONTENDERS[name], replace(CHECK, clients=150), tmp_path) as stage:
        stage.connect(stage.lists[:1])
        stage.prime()
        stage.connect(stage.lists[1:])
        wait_until(lambda: stage.counts()[1:] == [CHECK.per_client] * 149)


def commands_of(request: bytes) -> tuple[bool, list[str]]:
    """Return whether a batch is published at once, and its channels."""
    head, _, body = request.partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    values = json.loads(body)
    return values["parallel"], [command["publish"]["channel"] for command in values["commands"]]


def test_a_read_becomes_batches_that_keep_the_order_of_a_symbol() -> None:
    """Prices of different symbols may be published at once, several of one may not."""
    a, b = (b"A", b'{"price":1.50}'), (b"B", b'{"price":2}')
    found = batches([a, b, b, a], parallel=True)
    assert [commands_of(each) for each in found] == [(True, ["A", "B"]), (True, ["B", "A"])]
    assert b'"data":{"price":1.50}' in found[0]  # as it was published
    (one,) = batches([a, b, b, a], parallel=False)
    assert commands_of(one) == (False, ["A", "B", "B", "A"])
    many = batches([a] * (MOST + 1), parallel=False)
    assert [len(commands_of(each)[1]) for each in many] == [MOST, 1]
    assert batches([], parallel=True) == []


def test_messages_are_read_whatever_the_chunks() -> None:
    """What a subscription answers is no message; a message may come in parts."""
    data = b"*3\r\n$10\r\npsubscribe\r\n$7\r\nstock:*\r\n:1\r\n"
    data += b"*4\r\n$8\r\npmessage\r\n$7\r\nstock:*\r\n$7\r\nstock:A\r\n$2\r\n{}\r\n"
    for cut in range(len(data)):
        reader = MessageReader()
        assert reader.feed(data[:cut]) + reader.feed(data[cut:]) == [(b"A", b"{}")]


def test_a_client_of_centrifugo_waits_for_its_last_subscription() -> None:
    """A command per symbol in one frame; the answer to the last shows that all are done."""
    path, steps = centrifugo(["A", "B"], 0)
    assert path == "/connection/websocket"
    commands = [json.loads(line) for line in steps[1][1].splitlines()]
    assert [command["subscribe"]["channel"] for command in commands] == ["A", "B"]
    assert steps[2][0] == f'{{"id":{commands[-1]["id"]},"subscribe":'
    with pytest.raises(ValueError, match="a line per price"):
        centrifugo(["A"], 100)


def test_a_peer_that_is_missing_is_named_with_the_way_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The campaign goes on without it."""
    monkeypatch.setattr("benchmarks.installing.CENTRIFUGO", tmp_path / "centrifugo")
    assert centrifugo_missing().endswith(f"go install {CENTRIFUGO_MODULE}")
    absent = replace(CONTENDERS["picows"], needs=Needs(lambda: "it is not installed: install it"))
    monkeypatch.setitem(CONTENDERS, "picows", absent)
    results = Results()
    run_one(results, "check", CHECK, "picows", tmp_path, 1)
    assert results.failures == {"check": {"picows": ["it is not installed: install it"]}}


def test_only_what_is_missing_is_installed(tmp_path: Path) -> None:
    """A tool that is not on this machine installs nothing."""
    mark = tmp_path / "installed"
    Needs(lambda: "", ("touch", str(mark)), timeout_s=5).install()
    Needs(lambda: "missing", ("no-such-tool", str(mark)), timeout_s=5).install()
    assert not mark.exists()
    Needs(lambda: "missing", ("touch", str(mark)), timeout_s=5).install()
    assert mark.exists()


def test_servers_limit_who_takes_part() -> None:
    """Only contenders of the workload, in its order."""
    assert contenders_of(WORKLOADS["w2"], ["picows", "uvicorn", "uvicorn-2"]) == [
        "uvicorn",
        "picows",
    ]
    assert contenders_of(WORKLOADS["w2"], []) == list(WORKLOADS["w2"].contenders)
