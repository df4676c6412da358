"""What peers need beyond this project's requirements: what is missing, and how it is installed."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

PEERS = Path(__file__).resolve().parent / "peers"
NCHAN_MODULE = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
CENTRIFUGO = PEERS / "bin" / "centrifugo"
CENTRIFUGO_MODULE = "github.com/centrifugal/centrifugo/v6@v6.9.1"
NPM_S = 300
GO_S = 1800  # its first build takes minutes: Centrifugo has many dependencies


def nothing() -> str:
    return ""


@dataclass(frozen=True)
class Needs:
    """What one kind of peer needs on this machine."""

    missing: Callable[[], str] = nothing  # why it cannot run here; empty when it can
    command: tuple[str, ...] = ()  # installs what is missing, if its program is there
    environment: tuple[tuple[str, str], ...] = ()
    timeout_s: float = 0

    def install(self) -> None:
        """Install what is missing, if this machine has the tool for it; failures are shown."""
        if not self.missing() or not self.command or not shutil.which(self.command[0]):
            return
        command = ["env", *(f"{name}={value}" for name, value in self.environment), *self.command]
        try:
            subprocess.run(command, timeout=self.timeout_s, check=False, stdout=sys.stderr)
        except subprocess.TimeoutExpired:
            print(f"not done after {self.timeout_s} s: {' '.join(command)}", file=sys.stderr)


def node_missing() -> str:
    if not shutil.which("node"):
        return "Node.js is not installed"
    if not (PEERS / "node_modules" / "ws").is_dir():
        return "its packages are not installed: npm ci --prefix benchmarks/peers"
    return ""


def nginx_missing() -> str:
    if not NGINX or not NCHAN_MODULE.exists():
        return "nginx with nchan is not installed: apt-get install nginx libnginx-mod-nchan"
    return ""


def centrifugo_missing() -> str:
    if CENTRIFUGO.exists():
        return ""
    return f"it is not built: GOBIN=$PWD/benchmarks/peers/bin go install {CENTRIFUGO_MODULE}"


def picows_missing() -> str:
    if find_spec("picows"):
        return ""
    return "picows is not installed: pip install -r benchmarks/peers/requirements.txt"


def python_socketio_missing() -> str:
    if find_spec("socketio"):
        return ""
    return "python-socketio is not installed: pip install -r benchmarks/peers/requirements.txt"


NODE_NEEDS = Needs(
    node_missing,
    ("npm", "ci", "--prefix", str(PEERS), "--no-audit", "--no-fund", "--silent"),
    timeout_s=NPM_S,
)
NGINX_NEEDS = Needs(nginx_missing)
CENTRIFUGO_NEEDS = Needs(
    centrifugo_missing,
    ("go", "install", CENTRIFUGO_MODULE),
    (("GOBIN", str(CENTRIFUGO.parent)),),
    timeout_s=GO_S,
)
PICOWS_NEEDS = Needs(picows_missing)
PYTHON_SOCKETIO_NEEDS = Needs(python_socketio_missing)
