"""What the soak samples, and what it counts as a failure."""

import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from subprocess import PIPE
from threading import Thread
from typing import Any, cast

import pytest

from benchmarks.soak import Crowd, status_of, usage_of
from tests.ports import free_port


@pytest.fixture
def server() -> Iterator[str]:
    """A server that answers each path with the status that it names."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(int(self.path[1:]))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


# Once a line comes: 32 MiB, an open file and a thread more.
GROWS = """
import os, threading
print("ready", flush=True)
input()
held = bytearray(b"x" * (32 << 20))
file = open(os.devnull)
threading.Thread(target=input, daemon=True).start()
print("grown", flush=True)
threading.Event().wait()
"""


def test_usage_is_that_of_a_process() -> None:
    """Memory in bytes, open files and threads; one more of each shows."""
    command = [sys.executable, "-c", GROWS]
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True) as process:
        assert process.stdin and process.stdout
        assert process.stdout.readline() == "ready\n"
        before = usage_of(process.pid)
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "grown\n"
        after = usage_of(process.pid)
        process.kill()
    assert after["memory"] - before["memory"] > (32 << 20) / 2
    assert after["files"] == before["files"] + 1
    assert after["threads"] == before["threads"] + 1


def test_a_status_is_what_the_server_answers(server: str) -> None:
    """Errors are answers too; 0 stands for none."""
    assert [status_of(f"{server}/{status}") for status in (200, 404, 503)] == [200, 404, 503]
    assert status_of(f"http://127.0.0.1:{free_port()}/") == 0


def test_failures_are_more_than_one_in_a_hundred() -> None:
    """A lost connection or a 503 now and then is a busy machine; no answer never is."""
    crowd = Crowd(cast(Any, None), seed=1)
    crowd.counts.update({"connections": 300, "lost: X": 3, "http 200": 996, "http 503": 4})
    assert not crowd.failures()
    crowd.counts.update({"lost: X": 1, "http 503": 8, "http 0": 1})
    assert sorted(crowd.failures()) == ["http 0 1", "http 503 12", "lost: X 4"]
