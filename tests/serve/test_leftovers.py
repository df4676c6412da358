"""What is left when a supervisor and its guard are both killed."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from quotes.serve.leftovers import LeftOver, check_leftovers, marks
from tests.ports import free_port
from tests.programs import Program, descendants, gone
from tests.serve.conftest import START_S
from tests.waiting import wait_until

on_linux = pytest.mark.skipif(
    not Path("/proc/self/environ").exists(), reason="only Linux shows the environment of a process"
)


@on_linux
@pytest.mark.slow
@pytest.mark.timeout(120)
def test_next_serve_says_what_is_left_and_how_to_end_it(serve: Callable[..., Program]) -> None:
    """The pids of the web server and the embedded Redis; after its command nothing is left."""
    port, redis_port = str(free_port()), free_port()
    same = {"PORT": port, "REDIS_URL": f"redis://:hush@localhost:{redis_port}/0"}
    with serve(**same) as program:
        program.wait_for("stop       Ctrl-C", timeout_s=START_S)
        family = descendants(program.process.pid)
        (guard,) = [pid for pid, row in family.items() if "orphan_guard" in row.arguments]
        left = {pid for pid in family if pid != guard}
        try:
            os.kill(guard, signal.SIGSTOP)  # so that the supervisor starts no other
            program.process.kill()
            program.process.wait()
            os.kill(guard, signal.SIGKILL)
            with serve(**same) as second:
                assert second.process.wait(START_S) != 0
                second.reader.join(5)
                (command,) = re.findall(r"run `kill ([0-9 ]+)`", second.text)
                assert {int(pid) for pid in command.split()} == left
                assert "web (process" in second.text and "redis (process" in second.text
                assert "hush" not in second.text
            subprocess.run(["kill", *command.split()], check=True)
            wait_until(lambda: all(map(gone, left)))
        finally:
            for pid in left:
                if not gone(pid):
                    os.kill(pid, signal.SIGKILL)


@on_linux
@pytest.mark.parametrize(
    ("change", "is_left"),
    [
        ({}, True),
        ({"LIVE_PRICES_SUPERVISOR": f"{os.getpid()}.1"}, True),  # another process has its number
        ({"LIVE_PRICES_SUPERVISOR": "x"}, True),
        ({"PORT": "1"}, True),  # of the same Redis
        ({"LIVE_PRICES_REDIS": "redis.invalid:1"}, True),  # on the same port
        ({"PORT": "1", "LIVE_PRICES_REDIS": "redis.invalid:1"}, False),
        ({"LIVE_PRICES_FOLDER": "/elsewhere"}, False),
    ],
)
def test_only_what_is_in_the_way_is_named(
    tmp_path: Path, change: dict[str, str], is_left: bool
) -> None:
    """Of this folder, of a supervisor that is gone, on this port or this Redis."""
    mine = marks("web", folder=tmp_path, redis_url="localhost:6", port="7")
    dead = {**mine, "LIVE_PRICES_SUPERVISOR": "4194304.5", **change}
    asleep = [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"]
    for environment, is_named in ((mine, False), (dead, is_left)):
        with subprocess.Popen(asleep, env=environment, stdout=subprocess.PIPE) as process:
            try:
                assert process.stdout is not None
                process.stdout.readline()
                try:
                    check_leftovers(
                        folder=tmp_path,
                        port=7,
                        redis_url="localhost:6",
                        redis_folder=tmp_path / "no",
                        patience_s=0,
                    )
                except LeftOver as error:
                    assert is_named and f"web (process {process.pid})" in str(error)
                else:
                    assert not is_named
            finally:
                process.kill()
