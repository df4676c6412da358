"""Runs the tests of what in the JavaScript client needs no server."""

import subprocess

from tests.clients.js.node import HERE
from tests.other_clients import NODE_WS, node_client


def test_units() -> None:
    node_client(NODE_WS)  # skips the test where there is no Node
    command = ["node", "--test", "--test-reporter=spec", str(HERE / "units.test.mjs")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout
