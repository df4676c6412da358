"""The image and the compose file, as far as they can be read; `bash .ci/image` runs the image."""

import ipaddress
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from quotes.conf import conf
from tests.deploy.commands import check_command, check_settings
from tests.other_clients import GO_COMPOSE, go_program
from tests.programs import ROOT

FOLDER = ROOT / "deploy" / "container"
OURS = ("web-1", "web-2", "bridge-1", "bridge-2", "recorder", "pruner", "migrate")


@pytest.fixture(scope="module")
def compose() -> Any:
    return yaml.safe_load((FOLDER / "compose.yaml").read_text())


def _seconds(text: str) -> int:
    assert text.endswith("s")
    return int(text[:-1])


def test_compose_file_follows_its_specification(tmp_path: Path) -> None:
    """compose-go, which reads the file for docker compose, accepts it; a wrong key it refuses."""
    program = go_program(GO_COMPOSE)
    text = (FOLDER / "compose.yaml").read_text()
    for name in ("secrets", "tls"):
        (tmp_path / name).mkdir()

    def read(content: str) -> subprocess.CompletedProcess[str]:
        path = tmp_path / "compose.yaml"
        path.write_text(content)
        return subprocess.run([program, path], capture_output=True, text=True, check=False)

    done = read(text)
    assert done.returncode == 0, done.stderr
    assert read(text.replace("read_only: true", "read_onyl: true")).returncode
    assert read(text.replace("{condition: service_healthy}", "{condition: healthy}")).returncode


def test_services_are_limited_and_unprivileged(compose: Any) -> None:
    """Each service has limits, a read-only root and no privileges but those that are named."""
    for name, service in compose["services"].items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}, name
        assert service["logging"], name
        if name in OURS:
            assert "cap_add" not in service
            assert "user" not in service  # the image's own
        else:
            tag = service["image"].rpartition(":")[2]
            assert tag[:1].isdigit() or tag[:2] == "v3", f"{name}: a version, not {tag}"
    published = {name: one["ports"] for name, one in compose["services"].items() if "ports" in one}
    assert published == {"nginx": ["80:80", "443:443"], "prometheus": ["127.0.0.1:9090:9090"]}
    assert compose["networks"]["back"]["internal"]
    on_front = {name for name, one in compose["services"].items() if "front" in one["networks"]}
    assert on_front == {"web-1", "web-2", "nginx"}


def test_services_wait_for_what_they_need(compose: Any) -> None:
    """Each condition can come true, and each part has time to end."""
    services = compose["services"]
    for name, service in services.items():
        for other, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "test" in services[other]["healthcheck"], (name, other)
            else:
                assert how["condition"] == "service_completed_successfully"
                assert services[other]["restart"] == "no"
    for name in OURS:
        assert _seconds(services[name]["stop_grace_period"]) > conf.drain_time_s + 10
        if name != "migrate":
            assert {"migrate", "valkey", "postgres"} == set(services[name]["depends_on"])


def test_commands_and_settings_exist(compose: Any) -> None:
    """Each command, its options and each setting are those of this version."""
    for name in OURS:
        service = compose["services"][name]
        command = service.get("command", [])
        if command[:2] == ["sh", "-c"]:
            for part in command[2].split("&&"):
                check_command(part.split())
        elif command:
            check_command(command)
        check_settings(service["environment"])
        check_settings(service["secrets"])


def test_prometheus_reaches_each_part(compose: Any) -> None:
    """Prometheus scrapes each part at the address that it listens on, with rules that are there."""
    scrape = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    port = compose["services"]["web-1"]["environment"]["QUOTES_METRICS"].rpartition(":")[2]
    (job,) = scrape["scrape_configs"]
    targets = set(job["static_configs"][0]["targets"])
    assert targets == {f"{name}:{port}" for name in OURS if name not in ("pruner", "migrate")}
    secret = Path(job["authorization"]["credentials_file"]).name
    assert secret in compose["services"]["prometheus"]["secrets"]
    for path in scrape["rule_files"]:
        assert (ROOT / "deploy/prometheus" / Path(path).name).exists(), path


def test_no_secret_is_in_the_file(compose: Any, tmp_path: Path) -> None:
    """Passwords are in files, which a script makes once, for their owner alone."""
    assert all(set(secret) == {"file"} for secret in compose["secrets"].values())
    for name, service in compose["services"].items():
        for variable in service.get("environment", {}):
            is_secret = any(word in variable for word in ("KEY", "PASSWORD", "TOKEN", "URL"))
            assert not is_secret or variable.endswith("_FILE"), (name, variable)
    script = tmp_path / "make-secrets"
    script.write_bytes((FOLDER / "make-secrets").read_bytes())
    subprocess.run(["sh", script], check=True, capture_output=True)
    made = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
    assert set(made) == {Path(one["file"]).name for one in compose["secrets"].values()}
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    assert made["valkey_password"] in made["REDIS_URL"]
    assert len(made["SECRET_KEY"]) == 48
    subprocess.run(["sh", script], check=True, capture_output=True)
    assert made == {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}


def test_nginx_of_the_compose_file(compose: Any, tmp_path: Path) -> None:
    """nginx gets the tested configuration, for the two web processes, which trust its address."""
    environment = {**os.environ, "HOST_NAME": "shares.example.org"}
    source = ROOT / "deploy/nginx/live-prices.conf"
    subprocess.run(["sh", FOLDER / "nginx-start", source, tmp_path], check=True, env=environment)
    text = (tmp_path / "live-prices.conf").read_text()
    services = compose["services"]
    addresses = [services[name]["networks"]["front"]["ipv4_address"] for name in ("web-1", "web-2")]
    for address in addresses:
        assert f"server {address}:5000" in text
    assert "127.0.0.1:5" not in text
    assert "server_name shares.example.org;" in text
    assert "example.com" not in text
    assert "alias" not in text
    front = compose["networks"]["front"]["ipam"]["config"][0]["subnet"]
    assert services["web-1"]["environment"]["QUOTES_TRUSTED_PROXIES"] == front
    nginx_address = services["nginx"]["networks"]["front"]["ipv4_address"]
    assert ipaddress.ip_address(nginx_address) in ipaddress.ip_network(front)
    assert "worker_connections 65536" in (tmp_path / "main").read_text()


def test_secrets_become_settings(tmp_path: Path) -> None:
    """The entrypoint exports each secret under its name; a variable that is set stays."""
    for name, text in {"REDIS_URL": "redis://a$b 'c\"@d/0\n", "SECRET_KEY": "file"}.items():
        (tmp_path / name).write_text(text)
    for name in ("postgres_password", "A-B", "X;id"):
        (tmp_path / name).write_text("no name of a variable")
    done = subprocess.run(
        ["sh", FOLDER / "entrypoint", "env"],
        env={"PATH": os.environ["PATH"], "SECRETS_FOLDER": str(tmp_path), "SECRET_KEY": "set"},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert "REDIS_URL=redis://a$b 'c\"@d/0" in lines
    assert "SECRET_KEY=set" in lines
    assert "no name" not in done.stdout


def test_containerfile_keeps_tools_out() -> None:
    """The last stage runs as a user by number, and copies only what the first has built."""
    text = (FOLDER / "Containerfile").read_text()
    last = text.rpartition("\nFROM ")[2]
    assert "USER 10001:10001" in last
    assert "STOPSIGNAL SIGTERM" in last
    assert "HEALTHCHECK" in last
    assert "pip" not in last
    assert "apt-get" not in last
    assert "--only-binary :all:" in text
    for line in text.splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            for source in line.split()[1:-1]:
                assert list(ROOT.glob(source)), f"{source} does not exist"
