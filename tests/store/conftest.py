"""Fixtures of the tests of what Redis holds."""

import os
import shutil
from pathlib import Path

import pytest


@pytest.fixture
def redis_program(tmp_path: Path) -> str:
    """The server of Redis. Debian has it under another name in a package that starts none."""
    found = shutil.which("redis-check-rdb") or shutil.which("redis-server")
    if found is None:
        assert os.environ.get("CI") != "true", "install redis-tools (bash .ci/run does)"
        pytest.skip("Redis is not installed (Debian: apt install redis-tools)")
    program = tmp_path / "redis-server"
    program.symlink_to(found)
    return str(program)
