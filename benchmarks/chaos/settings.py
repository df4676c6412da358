"""The settings of the service under faults, and those of the suite's own process."""

import os
from pathlib import Path

from benchmarks.contenders import DJANGO

HEARTBEAT_S = 2.0
BRIDGE_LEASE_S = 2.0
RECORDER_LEASE_S = 3.0

SETTINGS = {
    **DJANGO,
    "LOG_LEVEL": "INFO",
    "PYTHONUNBUFFERED": "1",
    "INSTRUMENTS_FOLLOW_MASTER": "false",
    "QUOTES_BRIDGE_LEASE_MS": str(round(BRIDGE_LEASE_S * 1000)),
    "QUOTES_RECORDER_LEASE_MS": str(round(RECORDER_LEASE_S * 1000)),
    "QUOTES_REPORT_INTERVAL_S": "2",
    "QUOTES_HEARTBEAT_S": str(HEARTBEAT_S),
    "QUOTES_CANDLE_GRACE_MS": "1000",
    "QUOTES_DRAIN_S": "1",
    # So little that a client that stops reading is conflated within seconds at a low rate.
    "QUOTES_SEND_BUFFER_BYTES": "16384",
    "QUOTES_HIGH_WATER_BYTES": "16384",
}


def settings_of(redis_port: int, folder: Path) -> dict[str, str]:
    """Return the environment of one process of the service."""
    return {
        name: text.format(redis_port=redis_port, folder=folder) for name, text in SETTINGS.items()
    }


def set_own_environment() -> None:
    """Set what this process needs to use the project, past what the machine has set."""
    for name in [name for name in os.environ if name.startswith(("QUOTES_", "INSTRUMENTS_"))]:
        del os.environ[name]
    # It opens no database, and is given the Redis by port.
    os.environ.update(settings_of(1, Path("/nonexistent")))
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
