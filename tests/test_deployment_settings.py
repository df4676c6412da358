"""Wrong settings of the deployment stop the start with a sentence."""

import os
import subprocess
import sys

import pytest

from tests.programs import ROOT


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("LOG_LEVEL", "chatty", "LOG_LEVEL must be one of DEBUG, INFO, WARNING, ERROR, CRITICAL"),
        ("DATABASE_URL", "postgres://u:hush@db:port/prices", "DATABASE_URL must have a port"),
        ("REDIS_URL", "redis://:hush@localhost:99999/0", "REDIS_URL must have a port from 1"),
        ("PORT", "http", "PORT must be a port from 1 to 65535, got 'http'"),
    ],
)
def test_the_sentence_names_what_is_allowed(name: str, value: str, sentence: str) -> None:
    """And shows no password."""
    done = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=ROOT,
        env={**os.environ, name: value},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"manage.py: {sentence}")
    assert "hush" not in done.stderr
