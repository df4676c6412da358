"""The environment of all tests, set before Django reads its settings (`-p tests.environment`).

Neither `.env` nor the machine's own variables change a test. QUOTES_SPEEDUPS alone is left, since
all tests pass with the package `quotes-speedups` and without it.
"""

import os

import pytest

from tests.ports import free_port

# Tests wait for processes, sockets and time-outs for half of their time.
TESTS_PER_CPU = 2
MOST_PROCESSES = 8

REDIS_TEST_PORT = free_port()
for name in [name for name in os.environ if name.startswith(("QUOTES_", "INSTRUMENTS_", "KAFKA_"))]:
    if name != "QUOTES_SPEEDUPS":
        del os.environ[name]
os.environ.update(
    SECRET_KEY="only for tests, and long enough for any signature that a test makes",
    REDIS_URL=f"redis://127.0.0.1:{REDIS_TEST_PORT}/0",
    DATABASE_URL="sqlite:///test.sqlite3",
    HISTORY_DATABASE_URL="sqlite:///test-history.sqlite3",
    ALLOWED_HOSTS="localhost,127.0.0.1,testserver",
    DEBUG="false",
    # Many processes of tests run at a time; those that need it take an address of their own.
    QUOTES_METRICS="off",
    # Tests read the master when they want to; no thread does beside them.
    INSTRUMENTS_FOLLOW_MASTER="false",
)


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return how many processes `-n auto` starts."""
    return min(TESTS_PER_CPU * (os.cpu_count() or 1), MOST_PROCESSES)
