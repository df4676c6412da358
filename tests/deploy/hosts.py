"""Hosts in network namespaces: each with an address, a clock, and a link that can be cut."""

import atexit
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from types import TracebackType

from tests.deploy.tools import needed_program, unavailable
from tests.postgres import OPTIONS, PostgresServer, find_program
from tests.programs import ROOT, Program
from tests.waiting import wait_until

_PREFIX = f"lp{os.getpid()}"
_SWITCH = f"{_PREFIX}s"


def _ip(*arguments: str) -> None:
    program = needed_program("ip", "iproute2")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


# libfaketime breaks Python's time.sleep, also if it leaves the monotonic clock alone.
_CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
static long ahead(void) { return atol(getenv("CLOCK_AHEAD_S")); }
int clock_gettime(clockid_t id, struct timespec *at) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(id, at);
    if (!failed && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) at->tv_sec += ahead();
    return failed;
}
time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}
int gettimeofday(struct timeval *at, void *zone) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return 0;
}
"""


@lru_cache
def _clock_library() -> str:
    """Return the path of a library that sets the clock of a program."""
    compiler = needed_program("cc", "gcc libc6-dev")
    folder = Path(tempfile.mkdtemp(prefix="clock-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    source, library = folder / "clock.c", folder / "clock.so"
    source.write_text(_CLOCK)
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"]
    subprocess.run(command, check=True)
    return str(library)


class Host:
    """A network namespace with a link to the switch.

    Args:
        clock_s: how far its clock is ahead; the monotonic one is right.
    """

    def __init__(self, letter: str, number: int, *, clock_s: int = 0) -> None:
        self.name = f"{_PREFIX}{letter}"
        self.address = f"10.90.0.{number}"
        self.link = f"{self.name}0"
        self.clock_s = clock_s

    def create(self) -> None:
        _ip("netns", "add", self.name)
        _ip("-n", self.name, "link", "set", "lo", "up")
        inner = ("type", "veth", "peer", "name", self.link, "netns", _SWITCH)
        _ip("-n", self.name, "link", "add", "eth0", *inner)
        _ip("-n", self.name, "addr", "add", f"{self.address}/24", "dev", "eth0")
        _ip("-n", self.name, "link", "set", "eth0", "up")
        _ip("-n", _SWITCH, "link", "set", self.link, "master", "br0", "up")

    def cut(self) -> None:
        """Cut its link: packets get lost, and no connection ends."""
        _ip("-n", _SWITCH, "link", "set", self.link, "down")

    def restore(self) -> None:
        _ip("-n", _SWITCH, "link", "set", self.link, "up")

    def command(self, *command: str) -> list[str]:
        """Return a command that runs there, by the host's clock."""
        clock = []
        if self.clock_s:
            clock = [
                *("env", f"LD_PRELOAD={_clock_library()}", f"CLOCK_AHEAD_S={self.clock_s}"),
            ]
        return ["ip", "netns", "exec", self.name, *clock, *command]

    def run(self, command: Sequence[str], **environment: str) -> Program:
        return Program(self.command(*command), folder=ROOT, **environment)

    def output(self, *command: str, text: str = "", **environment: str) -> str:
        """Run a command to its end; return what it writes."""
        done = subprocess.run(
            self.command(*command),
            input=text,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **environment},
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout


class Network:
    """A switch and its hosts; skips the test where namespaces cannot be made."""

    def __init__(self, *hosts: Host) -> None:
        self.hosts = hosts

    def __enter__(self) -> "Network":
        if os.getuid():
            unavailable("network namespaces need root")
        for host in self.hosts:
            if host.clock_s:
                _clock_library()
        try:
            _ip("netns", "add", _SWITCH)
            _ip("-n", _SWITCH, "link", "add", "br0", "type", "bridge")
            _ip("-n", _SWITCH, "link", "set", "br0", "up")
            for host in self.hosts:
                host.create()
        except OSError as error:
            self.__exit__(None, None, None)
            unavailable(f"no network namespaces here: {error}")
        return self

    def connect(self, one: Host, other: Host) -> tuple[str, str]:
        """Connect two hosts by a line of their own; return the addresses of its ends."""
        _ip("-n", one.name, "link", "add", "eth1", *("type", "veth", "peer", "name", "eth1"),
            *("netns", other.name))  # fmt: skip
        addresses = ("10.90.1.1", "10.90.1.2")
        for host, address in zip((one, other), addresses, strict=True):
            _ip("-n", host.name, "addr", "add", f"{address}/24", "dev", "eth1")
            _ip("-n", host.name, "link", "set", "eth1", "up")
        return addresses

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for name in (_SWITCH, *(host.name for host in self.hosts)):
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


class PostgresOnHost(PostgresServer):
    """A PostgreSQL server of a host, which the test itself reaches by a socket in a folder."""

    def __init__(self, host: Host) -> None:
        super().__init__("listen_addresses=*")
        self.host = host

    def url(self, name: str) -> str:
        return f"postgres://postgres@/{name}?host={self.folder}&port={self.port}"

    def start(self) -> None:
        data = self.folder / "data"
        with (data / "pg_hba.conf").open("a") as rules:
            rules.write("host all all 10.90.0.0/24 trust\n")
        options = [*OPTIONS, "-c", f"unix_socket_directories={self.folder}", *self.options]
        user = () if not self.user else ("runuser", "-u", self.user, "--")
        program = str(find_program("postgres"))
        command = self.host.command(*user, program, "-D", str(data), "-p", str(self.port), *options)
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)
        wait_until(self.answers)

    def stop(self) -> None:
        """End the server, of which `runuser` is the parent."""
        if self.process is not None:
            number = int((self.folder / "data" / "postmaster.pid").read_text().split()[0])
            os.kill(number, signal.SIGQUIT)
            self.process.wait(20)
