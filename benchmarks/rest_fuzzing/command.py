"""The command line of `schemathesis` for a server that is running."""

import sys
from collections.abc import Sequence
from pathlib import Path

_CONFIG = Path(__file__).parent / "schemathesis.toml"
PHASES = ("examples", "coverage", "fuzzing")


def fuzzing_command(
    base_url: str,
    *,
    key: str = "",
    examples: int,
    seed: int,
    phases: Sequence[str] = PHASES,
) -> list[str]:
    """Return the command that sends generated requests; it ends with 0 if all answers conform.

    Args:
        base_url: of the server, without a slash at its end.
        key: an API key that all requests have; "": none.
        examples: requests for each operation in the phase `fuzzing`; the other phases send what
            there is to send.
    """
    command = [sys.executable, "-m", "schemathesis.cli"]
    return [
        *(*command, "--config-file", str(_CONFIG), "run", f"{base_url}/api/schema/"),
        *(("--header", f"Authorization: Api-Key {key}") if key else ()),
        *("--max-examples", str(examples), "--seed", str(seed), "--phases", ",".join(phases)),
        *("--continue-on-failure", "--no-color", "--warnings", "off", "--request-timeout", "30"),
    ]
