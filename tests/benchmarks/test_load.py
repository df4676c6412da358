"""The load client over real sockets: it counts exactly what a server sends."""

from pathlib import Path

from benchmarks.calibration import calibrate


def test_the_load_client_counts_every_frame_of_a_server_that_never_pauses(tmp_path: Path) -> None:
    """Counts agree to the last frame, or the calibration itself fails."""
    found = calibrate(tmp_path, together=7, duration_s=0.2, clients=5)
    assert found["deliveries_per_s"] > 0
    assert found["client_us"] > 0
