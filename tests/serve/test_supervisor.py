"""The supervisor with real children and a real orphan guard."""

import json
import os
import re
import shlex
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from quotes.serve.child import exit_phrase
from quotes.serve.supervisor import Timing
from tests.programs import Program, descendants, gone
from tests.waiting import wait_until

# Children: shells, since they start in a millisecond.
STAYS = "echo pid $$; while :; do sleep 0.05; done"
IGNORES = "trap '' TERM; echo pid $$; while :; do sleep 0.05; done"


def child(name: str, script: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "command": ["/bin/sh", "-c", script], **more}


def supervise(*children: dict[str, Any], **timing: float) -> Program:
    description = json.dumps({"children": children, "timing": timing})
    return Program([sys.executable, "-m", "tests.supervised", description])


def pids(program: Program) -> list[int]:
    """Return the ids that children printed, in the order of their lines."""
    return [int(found) for found in re.findall(r"\| (?:grand)?pid (\d+)", program.text)]


def test_lines_carry_the_name_of_their_child() -> None:
    """Standard output and errors come under the child's name, also a last line without an end."""
    with supervise(
        child("web", "echo out; echo err >&2; printf unfinished; exec >&- 2>&-; sleep 60"),
        child("bridge", "echo up; sleep 60"),
    ) as program:
        for line in ("web    | out", "web    | err", "web    | unfinished", "bridge | up"):
            program.wait_for(line)
        program.end()


def test_a_muted_line_is_not_shown() -> None:
    """A line with a muted text is left out, the others are not."""
    with supervise(
        child("redis", "echo warning: known; echo other; sleep 60", muted=["known"])
    ) as program:
        program.wait_for("other")
        assert "known" not in program.text
        program.end()


def test_what_dies_is_started_again_with_a_growing_delay() -> None:
    """How it ended and when it starts again is said; the delay doubles up to the longest."""
    timing = {"first_delay": 0.05, "longest_delay": 0.2}
    with supervise(
        child("bridge", "exit 3"), child("market", "kill -KILL $$"), **timing
    ) as program:
        program.wait_for("bridge ended", count=5)
        program.wait_for("market was killed by SIGKILL, restarting in 0.2 s")
        said = [line.partition("| ")[2] for line in program.lines if "bridge ended" in line]
        delays = ["0.05", "0.1", "0.2", "0.2"]
        assert said[:4] == [
            f"bridge ended with exit code 3, restarting in {delay} s" for delay in delays
        ]
        program.end()


def test_the_delay_starts_over_after_a_steady_run() -> None:
    """A child that ran for long before it died starts again after the first delay."""
    timing = {"first_delay": 0.05, "longest_delay": 5, "stable": 0.3}
    with supervise(child("bridge", "sleep 0.4; exit 1"), **timing) as program:
        program.wait_for("restarting in 0.05 s", count=3)
        assert "in 0.1 s" not in program.text
        program.end()


def test_a_child_that_cannot_start_is_called_so_and_not_given_up() -> None:
    """After five failed starts in a row the supervisor says to fix the error."""
    timing = {"first_delay": 0.01, "longest_delay": 0.02}
    with supervise(
        child("web", "exit 1"), {"name": "market", "command": ["no-such-program"]}, **timing
    ) as program:
        program.wait_for("web failed to start 5 times in a row: fix the error in its lines above")
        program.wait_for("web failed to start 6 times in a row")
        program.wait_for("market could not be started, restarting")
        assert "no-such-program: not found" in program.text
        program.end()


def test_a_stage_starts_when_the_one_before_is_ready(tmp_path: Path) -> None:
    """The bridge starts after Redis is ready, and then everything is said to be started."""
    ready = tmp_path / "ready"
    with supervise(
        child("redis", "echo redis waits; sleep 60", ready=str(ready)),
        child("bridge", "echo bridge is up; sleep 60", stage=1),
    ) as program:
        program.wait_for("redis waits")
        assert "bridge is up" not in program.text
        ready.touch()
        program.wait_for("bridge is up")
        program.wait_for("everything is started")
        assert program.text.index("redis waits") < program.text.index("bridge is up")
        program.end()


def test_a_child_that_does_not_become_ready_ends_everything() -> None:
    """The others would wait in vain: the text says which one, and nothing is left."""
    with supervise(
        child("web", STAYS), child("redis", "exit 1", ready="/no/such/file"), ready=0.3
    ) as program:
        program.wait_for("redis was not ready within 0.3 s: see its lines above")
        assert program.process.wait(10) == 1
        assert all(map(gone, pids(program)))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_stages_from_the_last_to_the_first(number: signal.Signals) -> None:
    """What writes to Redis ends before Redis; the exit code is 0 and no process is left."""
    lingers = "trap 'sleep 0.2; echo {0} ends; exit 0' TERM; echo pid $$; " + STAYS
    with supervise(
        child("redis", lingers.format("redis")),
        child("bridge", lingers.format("bridge"), stage=1),
        child("web", lingers.format("web"), stage=2),
        child("market", lingers.format("market"), stage=2),
    ) as program:
        program.wait_for("pid", count=8)
        status, took = program.end(number)
        assert (status, took < 5) == (0, True)
        ends = re.findall(r"(\w+) ends", program.text)
        assert sorted(ends[:2]) == ["market", "web"] and ends[2:] == ["bridge", "redis"]
        stopped = re.search(r"serve  \| stopped in (\d\.\d) s", program.lines[-1])
        assert stopped and 0.6 <= float(stopped[1]) < 3.5
        assert all(map(gone, pids(program)))


def test_a_signal_that_the_parent_ignored_is_heard() -> None:
    """In the background of a script SIGINT begins ignored; under nohup only SIGHUP stays so."""
    description = json.dumps({"children": [child("web", STAYS)]})
    for ignored, sent in (("INT", signal.SIGINT), ("HUP", signal.SIGTERM)):
        script = f"trap '' {ignored}; exec {shlex.quote(sys.executable)} -m tests.supervised \"$0\""
        with Program(["/bin/sh", "-c", script, description]) as program:
            program.wait_for("pid")
            if ignored == "HUP":
                program.process.send_signal(signal.SIGHUP)
                os.kill(pids(program)[0], signal.SIGKILL)
                program.wait_for("web was killed by SIGKILL, restarting")
            assert "stopping" not in program.text
            assert program.end(sent)[0] == 0


def test_what_does_not_end_is_killed_in_time() -> None:
    """A child that ignores SIGTERM is killed, and the ones after it still end in order."""
    with supervise(
        child("redis", "trap 'echo redis ends; exit 0' TERM;" + STAYS),
        child("web", IGNORES, stage=1),
        stop=1,
        stage_reserve=0.5,
    ) as program:
        program.wait_for("pid", count=2)
        status, took = program.end()
        assert status == 0
        assert 0.9 < took < 3.5
        assert "killing web, which did not stop within 1 s" in program.text
        assert "redis ends" in program.text
        assert all(map(gone, pids(program)))


def test_the_longest_stop_is_under_five_seconds() -> None:
    """From Ctrl-C to the last SIGKILL there are 4 s."""
    assert Timing().stop <= 4


def test_a_second_ctrl_c_kills_at_once() -> None:
    """Nobody waits for a child that hangs."""
    with supervise(child("web", IGNORES), stop=30) as program:
        program.wait_for("pid")
        program.process.send_signal(signal.SIGINT)
        program.wait_for("stopping")
        status, took = program.end()
        assert (status, took < 5) == (0, True)
        assert all(map(gone, pids(program)))


def test_ctrl_c_during_a_delay_does_not_wait_for_it() -> None:
    """A child that is about to start again is not started."""
    with supervise(child("web", "exit 1"), first_delay=30) as program:
        program.wait_for("restarting in 30 s")
        status, took = program.end()
        assert (status, took < 5) == (0, True)


def test_a_killed_supervisor_leaves_no_orphan() -> None:
    """After SIGKILL every child is gone, even one that ignores SIGTERM, and its own children."""
    grandchild = "(trap '' TERM; sleep 61) & echo grandpid $!; "
    with supervise(child("web", grandchild + IGNORES), child("bridge", STAYS)) as program:
        program.wait_for("pid", count=3)
        program.end(signal.SIGKILL)
        assert len(pids(program)) == 3
        wait_until(lambda: all(map(gone, pids(program))), timeout_s=5)


def test_a_killed_guard_is_replaced() -> None:
    """Somebody kills the guard, then the supervisor: still no orphan."""
    with supervise(child("web", STAYS)) as program:
        program.wait_for("pid")
        first = guards(program)
        for pid in first:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: guards(program) and not set(guards(program)) & set(first))
        program.end(signal.SIGKILL)
        wait_until(lambda: all(map(gone, pids(program))), timeout_s=5)


def guards(program: Program) -> list[int]:
    """Return the ids of the supervisor's guards."""
    family = descendants(program.process.pid)
    return [pid for pid, process in family.items() if "orphan_guard.py" in process.arguments]


def test_what_a_dead_child_left_behind_is_ended() -> None:
    """A child's own child does not outlive it: it would hold a port or a file."""
    with supervise(
        child("web", "sleep 62 & echo grandpid $!; sleep 0.1; exit 1"), first_delay=30
    ) as program:
        begun = time.monotonic()
        program.wait_for("web ended with exit code 1")
        assert time.monotonic() - begun < 10
        wait_until(lambda: all(map(gone, pids(program))))
        program.end()


def test_an_overlong_line_is_cut() -> None:
    """A child that prints a megabyte without a line end fills neither memory nor screen."""
    with supervise(
        child("web", "head -c 1000000 /dev/zero | tr '\\0' x; echo; echo next; sleep 60")
    ) as program:
        program.wait_for("web   | next")
        cut = next(line for line in program.lines if "bytes cut" in line)
        assert cut.endswith("x... 991808 bytes cut") and len(cut) < 8300
        program.end()


@pytest.mark.parametrize(
    ("status", "phrase"),
    [
        (0, "ended with exit code 0"),
        (3, "ended with exit code 3"),
        (127, "could not be started"),
        (-9, "was killed by SIGKILL"),
        (-250, "was killed by signal 250"),
    ],
)
def test_an_end_has_a_phrase(status: int, phrase: str) -> None:
    """An exit code or a signal reads as what happened."""
    assert exit_phrase(status) == phrase
