"""Results: percentiles, medians, targets, tables, and what is read from the kernel."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.campaign import NAMES as NAMES_OF_CAMPAIGN
from benchmarks.campaign import Results, text_of
from benchmarks.installing import PEERS
from benchmarks.processes import cpu_s, open_ports, pss_bytes
from benchmarks.report import COLUMNS, SHOWN, grid, table
from benchmarks.summary import medians, percentile, spread
from benchmarks.targets import NAMES, TARGETS, Target, describe, judge
from benchmarks.workloads import WORKLOADS, fanout, herd_lists, watch_lists


@given(
    values=st.lists(st.integers(), min_size=1, max_size=200),
    share=st.integers(min_value=1, max_value=100),
)
def test_a_percentile_is_the_least_value_that_covers_its_share(
    values: list[int], share: int
) -> None:
    """At least the share lies at or below it; below it alone lies less."""
    ordered = sorted(values)
    found = percentile(ordered, share)
    assert found in ordered
    assert sum(value <= found for value in ordered) * 100 >= share * len(ordered)
    assert sum(value < found for value in ordered) * 100 < share * len(ordered)


def test_a_percentile_of_nothing_is_refused() -> None:
    """There is no latency where nothing was delivered."""
    with pytest.raises(ValueError, match="needs a value"):
        percentile([], 50)


def test_medians_are_of_the_runs_that_have_the_metric() -> None:
    """One disturbed run does not move the result."""
    runs = [{"a": 1.0, "b": 5.0}, {"a": 100.0}, {"a": 2.0}]
    assert medians(runs) == {"a": 2.0, "b": 5.0}
    assert spread(runs, "a") == pytest.approx(49.5)
    assert spread(runs, "c") == 0


MEDIANS = {
    "w1": {"uvicorn": {"server_us": 3.0}, "node-ws": {"server_us": 6.0}},
    "w2": {"node-ws": {"server_us": 8.0}},
}


@pytest.mark.parametrize(
    ("target", "measured", "reached"),
    [
        (Target("w1", "uvicorn", "server_us", 3), 3.0, True),
        (Target("w1", "uvicorn", "server_us", 2.9), 3.0, False),
        (Target("w1", "uvicorn", "server_us", 0.5, "node-ws"), 0.5, True),
        (Target("w1", "uvicorn", "server_us", 0.3, "node-ws", "w2"), 0.375, False),
        (Target("w1", "uvicorn", "server_us", 3, least=True), 3.0, True),
        (Target("w1", "uvicorn", "server_us", 0.6, "node-ws", least=True), 0.5, False),
        (Target("w1", "uvicorn", "server_us", 1, "nchan"), None, None),
        (Target("w1", "daphne", "server_us", 1), None, None),
        (Target("w5", "uvicorn", "web_us", 1), None, None),
    ],
)
def test_a_target_is_judged_by_its_bound(
    target: Target, measured: float | None, reached: bool | None
) -> None:
    """Upper and lower bounds, multiples of a peer, results that are not there."""
    verdict = judge(target, MEDIANS)
    assert verdict.measured == (None if measured is None else pytest.approx(measured))
    assert verdict.reached is reached


def test_every_target_names_what_is_measured() -> None:
    """No target is about a contender that its workload does not have."""
    for target in TARGETS:
        assert target.contender in WORKLOADS[target.workload].contenders
        assert target.metric in NAMES
        if target.against:
            workload = WORKLOADS[target.against_workload or target.workload]
            assert target.against in workload.contenders
        assert "at " in describe(target)


def test_every_column_has_a_heading() -> None:
    """Each metric that a table shows can be shown."""
    assert {metric for metrics in SHOWN.values() for metric in metrics} <= COLUMNS.keys()


def test_a_grid_aligns_words_left_and_numbers_right() -> None:
    """The widest cell makes the column."""
    assert grid([["", "us"], ["node-ws", "7.30"]]) == "           us\n-------  ----\nnode-ws  7.30"


def test_a_table_shows_medians_and_how_far_runs_lie_apart() -> None:
    """What was not measured is a dash."""
    runs = {"nchan": [{"connection_kib": 9.0}, {"connection_kib": 11.0}]}
    heading, _, line = table("memory", runs, {"nchan": medians(runs["nchan"])}).splitlines()
    assert heading.split() == ["KiB/connection", "web", "MiB", "runs", "spread"]
    assert line.split() == ["nchan", "10.0", "-", "2", "20%"]


def test_results_say_what_failed_and_survive_being_kept() -> None:
    """A contender that could not run is named with its reason, not left out."""
    results = Results(about={"machine": {"cores": "2"}, "versions": {}, "quick": True})
    results.add("w3", "uvicorn", {"connection_kib": 20.0, "web_mib": 90.0})
    results.fail("w3", "nchan", "nginx is not installed")
    text = text_of(results)
    assert "nchan failed: nginx is not installed" in text
    assert "reached" in text and "not measured" in text and "QUICK" in text
    kept = json.loads(json.dumps({"runs": results.runs, "failures": results.failures}))
    assert Results(**kept, about=results.about) == results


@pytest.mark.parametrize("name", WORKLOADS)
@pytest.mark.parametrize("quick", [False, True])
def test_watch_lists_are_the_same_for_everybody(name: str, quick: bool) -> None:
    """Each client has its number of different symbols; a second look gives the same lists."""
    workload = WORKLOADS[name].quick() if quick else WORKLOADS[name]
    lists = watch_lists(workload)
    assert lists == watch_lists(workload)
    assert len(lists) == workload.clients
    assert {len(set(symbols)) for symbols in lists} == {workload.per_client}
    counts = fanout(lists, workload.symbols)
    assert sum(counts) == workload.clients * workload.per_client
    assert len(counts) == workload.symbols


@pytest.mark.parametrize("quick", [False, True])
def test_a_herd_is_the_same_for_everybody(quick: bool) -> None:
    """Each of its clients has its number of different symbols."""
    workload = WORKLOADS["herd"].quick() if quick else WORKLOADS["herd"]
    lists = herd_lists(workload)
    assert lists == herd_lists(workload) and len(lists) == workload.herd
    assert {len(set(symbols)) for symbols in lists} == {workload.herd_symbols}


def test_a_market_is_shared_out() -> None:
    """Where every list together is the market, each symbol has one client."""
    workload = WORKLOADS["w5"]
    assert set(fanout(watch_lists(workload), workload.symbols)) == {1}


def test_cpu_time_is_read_behind_a_name_with_spaces() -> None:
    """The fields of a stat follow the last parenthesis."""
    before = "17 (a b) c) S 1 17 17 0 -1 4194560 100 0 0 0"
    assert cpu_s(f"{before} 250 50 0 0 20 0 1 0 12345") == pytest.approx(3.0)


def test_memory_is_the_proportional_set_size() -> None:
    """In bytes; a text without it is refused."""
    assert pss_bytes("Rss:  900 kB\nPss:  512 kB\nPss_Dirty: 1 kB\n") == 512 * 1024
    with pytest.raises(ValueError, match="Pss"):
        pss_bytes("Rss: 900 kB\n")


def test_open_connections_are_those_established_to_the_server() -> None:
    """A connection that the server has closed is in another state, though a client holds on."""
    table = (
        "  sl  local_address rem_address   st tx_queue\n"
        "   0: 0100007F:1388 0100007F:A001 01 0\n"
        "   1: 0100007F:1388 0100007F:A002 04 0\n"
        "   2: 0100007F:A001 0100007F:1388 01 0\n"
        "   3: 0100007F:1388 00000000:0000 0A 0\n"
    )
    assert open_ports(table, 5000) == {0xA001}


def test_the_peers_lock_names_no_registry() -> None:
    """What the Node peers install comes from whichever registry is set up, pinned by hash."""
    lock = json.loads((PEERS / "package-lock.json").read_text())
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert packages
    for name, package in packages.items():
        address = package.get("resolved", "https://registry.npmjs.org/")
        assert address.startswith("https://registry.npmjs.org/"), name
        assert package["integrity"].startswith("sha512-")


def test_a_campaign_without_names_has_every_workload() -> None:
    """Also those that take long."""
    assert set(NAMES_OF_CAMPAIGN) == {"calibration", *WORKLOADS}
    assert "herd" in NAMES_OF_CAMPAIGN
