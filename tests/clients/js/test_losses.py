"""The accountant of the chaos suite, on the JavaScript client."""

from pathlib import Path

import pytest

from benchmarks.client_losses.command import CLIENTS, run
from tests.other_clients import NODE_WS, node_client


@pytest.mark.slow
@pytest.mark.timeout(150)
async def test_accountant_finds_every_tick(tmp_path: Path) -> None:
    """Nothing lost, doubled or reordered: the short form of `benchmarks.client_losses`."""
    node_client(NODE_WS)  # skips the test where there is no Node
    outcome = await run(CLIENTS["js"], tmp_path, losses=10, silence_s=1.0, pause_s=0.3)
    assert outcome.is_kept, str(outcome)
    assert outcome.losses >= 10 and outcome.recovered["missed ticks"] > 0
    assert set(outcome.kinds) == {"cut", "half-open", "kill", "freeze"}
