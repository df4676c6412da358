"""The units of systemd, read by systemd itself and against this version's commands."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from quotes.conf import conf
from tests.deploy.commands import check_command, check_settings
from tests.deploy.tools import needed_program
from tests.programs import ROOT

FOLDER = ROOT / "deploy" / "systemd"
UNITS = FOLDER / "system"
PYTHON = "/opt/live-prices/.venv/bin/python"
# What an operator enables: template -> an instance.
INSTANCES = {
    "live-prices-web@": "5001",
    "live-prices-bridge@": "1-4",
    "live-prices-bridge-standby@": "1-4",
    "live-prices-kafka-consumer@": "1",
    "live-prices-instruments@": "kite.csv.gz",
}
# Lower is better, of 10. Most of what is left is the network, without which nothing would work.
MAX_EXPOSURE = 1.5


def _files() -> list[Path]:
    return sorted(path for path in UNITS.iterdir() if path.is_file())


def _lines(path: Path, name: str) -> list[str]:
    """Return the values of a key of a unit, continued lines in one."""
    text = path.read_text().replace("\\\n", " ")
    return re.findall(rf"^{name}=(.*)$", text, re.MULTILINE)


def _instance(path: Path) -> str:
    """Return the name of the unit as it is enabled."""
    stem, _, kind = path.name.rpartition(".")
    return f"{stem}{INSTANCES.get(stem, '')}.{kind}"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with systemd's own units, ours, and the paths that they name."""
    analyze = needed_program("systemd-analyze", "systemd")
    found = tmp_path_factory.mktemp("root")
    shutil.copytree(UNITS, found / "etc/systemd/system")
    (found / "etc/live-prices").mkdir()
    shutil.copy(FOLDER / "env.example", found / "etc/live-prices/env")
    python = found / PYTHON[1:]
    python.parent.mkdir(parents=True)
    shutil.copy("/bin/true", python)
    library = next(one for one in ("/usr/lib/systemd", "/lib/systemd") if Path(one).is_dir())
    (found / "usr/lib").mkdir(parents=True)
    shutil.copytree(library, found / "usr/lib/systemd", symlinks=True)
    (found / "lib").symlink_to("usr/lib")
    assert analyze
    return found


def _analyze(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [needed_program("systemd-analyze", "systemd"), f"--root={root}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_units_are_correct(root: Path) -> None:
    """systemd finds nothing wrong with any unit; it finds a wrong key and a missing program."""
    units = [_instance(path) for path in _files()]
    assert len(units) == len(_files()) > 10
    done = _analyze(root, "--man=no", "verify", *units)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    wrong = root / "etc/systemd/system/live-prices-wrong.service"
    wrong.write_text(f"[Service]\nExecStart={PYTHON}3.99 manage.py\nRestrat=always\n")
    done = _analyze(root, "--man=no", "verify", wrong.name)
    wrong.unlink()
    assert done.returncode
    assert "Restrat" in done.stderr
    assert "python3.99" in done.stderr


def test_units_reach_little(root: Path) -> None:
    """Each service is confined: its exposure is low, by what all units share."""
    services = [_instance(path) for path in _files() if path.suffix == ".service"]
    for unit in services:
        options = ("--offline=true", f"--threshold={MAX_EXPOSURE * 10:.0f}", "--no-pager")
        done = _analyze(root, *options, "security", unit)
        assert done.returncode == 0, f"{unit}: {done.stdout[-300:]}{done.stderr}"


def test_commands_of_units_exist() -> None:
    """Each ExecStart is a command of this version with options that it has."""
    for path in _files():
        for line in _lines(path, "ExecStart"):
            instance = INSTANCES.get(path.stem, "")
            line = line.replace("%I", instance.replace("-", "/")).replace("%i", instance)
            program, *arguments = shlex.split(line)
            assert program == PYTHON, f"{path.name}: {program}"
            check_command([program, *arguments])


def test_units_are_whole() -> None:
    """Services restart, end in time, write to the log, and are enabled by the target or a timer."""
    for path in _files():
        text = path.read_text()
        assert _lines(path, "Description")
        if path.suffix == ".timer":
            assert (UNITS / path.name.replace(".timer", ".service")).exists()
            assert _lines(path, "Persistent") == ["yes"]
        if path.suffix != ".service":
            assert "[Install]" in text
            continue
        has_timer = (UNITS / path.name.replace(".service", ".timer")).exists()
        assert has_timer or _lines(path, "WantedBy") == ["live-prices.target"], path.name
        if _lines(path, "Type") == ["oneshot"]:
            continue
        assert _lines(path, "Restart")[0] in ("always", "on-failure"), path.name
        assert _lines(path, "StartLimitIntervalSec") == ["0"], path.name
        assert int(_lines(path, "TimeoutStopSec")[0]) > conf.drain_time_s + 10, path.name
        assert _lines(path, "MemoryHigh"), path.name
        assert _lines(path, "LimitNOFILE"), path.name
        assert "WatchdogSec" not in text  # no process tells systemd that it is alive
    bridges = [UNITS / f"live-prices-bridge{one}@.service" for one in ("", "-standby")]
    one, two = (path.read_text().partition("[Service]")[2] for path in bridges)
    assert one == two


def test_settings_of_the_example_exist() -> None:
    """The file of settings names settings that exist, and nothing that is in force twice."""
    text = (FOLDER / "env.example").read_text()
    names = re.findall(r"^#?([A-Z_]+)=", text, re.MULTILINE)
    check_settings(names)
    in_force = re.findall(r"^([A-Z_]+)=", text, re.MULTILINE)
    assert len(in_force) == len(set(in_force))
    assert "SECRET_KEY=\n" in text  # the server does not start before it has one


def test_user_and_folders() -> None:
    """The user of the units is the one that is made; settings are root's, and not for others."""
    common = UNITS / "live-prices-.service.d/10-common.conf"
    (user,) = _lines(common, "User")
    assert f"u {user} " in (FOLDER / "sysusers.d/live-prices.conf").read_text()
    rows = [
        line.split()
        for line in (FOLDER / "tmpfiles.d/live-prices.conf").read_text().splitlines()
        if not line.startswith("#")
    ]
    paths = {path: (mode, owner, group) for _, path, mode, owner, group in rows}
    (settings,) = _lines(common, "EnvironmentFile")
    assert paths[settings] == ("0640", "root", user)
    assert paths["/run/live-prices"] == ("0700", user, user)
