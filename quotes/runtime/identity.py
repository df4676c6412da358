"""What kind of process this is: for the lines of its log and the labels of its metrics."""

import os
import sys
from pathlib import Path

# Set by `serve` for each of its processes, such as web.2.
PROCESS_VARIABLE = "LIVE_PRICE_PROCESS"

# command -> kind of process; another command has its own name
_KINDS = {
    "bridge_prices": "bridge",
    "record_prices": "recorder",
    "consume_kafka": "kafka_consumer",
    "produce_kafka": "kafka_producer",
    "ingest_kite": "kite",
    "runserver": "web",
    "simulate_market": "market",
    "prune_history": "pruner",
}


class ProcessIdentity:
    """What this process is.

    Attributes:
        kind: such as web, bridge or recorder.
        worker: its number among those of its kind that `serve` started; "" if that is not known.
        shard: of a bridge, as I/N; "" of others.
    """

    def __init__(self, arguments: list[str], environment: "os._Environ[str] | dict[str, str]"):
        name, _, worker = environment.get(PROCESS_VARIABLE, "").partition(".")
        self.kind = _kind_of(arguments, name)
        # Commands that a process starts inherit its variables.
        self.worker = worker if worker.isdecimal() and self.kind == name else ""
        self.shard = ""

    @property
    def name(self) -> str:
        """Its kind, with its number if it has one, such as web.2."""
        return f"{self.kind}.{self.worker}" if self.worker else self.kind


def _kind_of(arguments: list[str], name: str) -> str:
    program = Path(arguments[0]).name if arguments else ""
    if program in ("manage.py", "django-admin", "__main__.py") and len(arguments) > 1:
        return _KINDS.get(arguments[1], arguments[1])
    if name == "web" or program in ("uvicorn", "daphne", "uvicorn_process.py", "daphne.py"):
        return "web"
    return Path(program).stem or "python"


identity = ProcessIdentity(sys.argv, os.environ)
