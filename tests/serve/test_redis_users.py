"""The Redis users of docs/operations.md: a publisher and the whole server work with them."""

import re
import sys
from collections.abc import Callable
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import NoPermissionError

from tests.ports import free_port
from tests.programs import ROOT, Program
from tests.serve.conftest import START_S
from tests.valkey import ValkeyProcess
from tests.waiting import wait_until

ACL = re.findall(r"^user (\w+) on >PASSWORD (.*)$", (ROOT / "docs/operations.md").read_text(), re.M)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_server_and_publisher_work_as_their_users(database_url: str) -> None:
    """A tick of the publisher is shown and recorded; no process is refused a command or key."""
    with ValkeyProcess(free_port()) as server, Redis(port=server.port) as admin:
        for name, rules in ACL:
            admin.execute_command("ACL", "SETUSER", name, "on", ">hush", *rules.split())
        admin.execute_command("ACL", "LOG", "RESET")

        def environment(user: str) -> dict[str, str]:
            return {
                "DATABASE_URL": database_url,
                "HISTORY_DATABASE_URL": database_url,
                "REDIS_URL": f"redis://{user}:hush@127.0.0.1:{server.port}/0",
                "PORT": str(free_port()),
            }

        with Program([sys.executable, "manage.py", "serve"], **environment("server")) as program:
            program.wait_for("stop       Ctrl-C", timeout_s=START_S)
            publish = [sys.executable, "manage.py", "publish_price", "AAPL", "189.45"]
            with Program(publish, **environment("publisher")) as publisher:
                assert publisher.process.wait(START_S) == 0, publisher.text
            wait_until(lambda: admin.hexists("quotes:latest", "AAPL"))
            wait_until(lambda: admin.hexists("quotes:day", "AAPL"))
            wait_until(lambda: admin.exists("quotes:recorder:status"))
        refused: Any = admin.execute_command("ACL", "LOG")
        assert not refused, (refused, program.text)


def test_publisher_can_do_nothing_else() -> None:
    """Neither read the log nor change what the bridge writes."""
    with ValkeyProcess(free_port()) as server, Redis(port=server.port) as admin:
        for name, rules in ACL:
            admin.execute_command("ACL", "SETUSER", name, "on", ">hush", *rules.split())
        with Redis(port=server.port, username="publisher", password="hush") as client:
            calls: list[Callable[[], Any]] = [
                lambda: client.delete("stock:AAPL"),
                lambda: client.set("quotes:lease:1", "x"),
                lambda: client.xrange("quotes:log:1"),
                lambda: client.publish("quotes:control", "x"),
                lambda: client.execute_command("CONFIG", "GET", "*"),
            ]
            for call in calls:
                with pytest.raises(NoPermissionError):
                    call()
