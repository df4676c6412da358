"""nginx and Caddy with the files of `deploy/`, in front of a server of a test.

Only names, ports and paths of the files are replaced; what is replaced must be there.
"""

import datetime
import ipaddress
import socket
import subprocess
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.deploy.tools import needed_program
from tests.ports import free_port
from tests.programs import ROOT, Program
from tests.waiting import wait_until

NAME = "localhost"


def write_certificate(folder: Path) -> tuple[Path, Path]:
    """Write a self-signed certificate of localhost and its key; return their paths."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName(NAME), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate_path, key_path = folder / "fullchain.pem", folder / "privkey.pem"
    certificate_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return certificate_path, key_path


def replaced(text: str, *pairs: tuple[str, str]) -> str:
    """Return the text with each first string replaced by the second; each must be there."""
    for old, new in pairs:
        assert old in text, f"the file does not say {old!r}"
        text = text.replace(old, new)
    return text


class Proxy:
    """A proxy that runs: its port for HTTPS, its port for HTTP, and what it logged."""

    def __init__(self, folder: Path, upstreams: tuple[int, int]) -> None:
        self.folder = folder
        self.upstreams = upstreams
        self.port, self.http_port = free_port(), free_port()
        self.certificate, self.key = write_certificate(folder)
        self.url = f"https://{NAME}:{self.port}"

    def command(self) -> list[str]:
        """Write the configuration; return the command that runs the proxy in the foreground."""
        raise NotImplementedError

    def log(self) -> str:
        """Return all that it logged."""
        return "".join(path.read_text() for path in self.folder.glob("*.log"))

    def __enter__(self) -> "Proxy":
        self.program = Program(self.command())
        wait_until(lambda: _listens(self.port) or self.program.process.poll() is not None)
        assert self.program.process.poll() is None, self.program.text
        return self

    def __exit__(self, *exception: object) -> None:
        self.program.process.terminate()
        self.program.process.wait(10)
        self.program.__exit__(None, None, None)


class Nginx(Proxy):
    def command(self) -> list[str]:
        nginx = needed_program("nginx", "nginx-light")
        first, second = self.upstreams
        folder = self.folder
        (folder / "static").mkdir()
        (folder / "static" / "app.js").write_text("export {};\n")
        text = replaced(
            (ROOT / "deploy/nginx/live-prices.conf").read_text(),
            ("prices.example.com", NAME),
            ("listen 80;", f"listen 127.0.0.1:{self.http_port};"),
            ("listen [::]:80;", ""),
            ("listen 443 ", f"listen 127.0.0.1:{self.port} "),
            ("listen [::]:443 ssl sndbuf=128k;", ""),
            ("127.0.0.1:5001", f"127.0.0.1:{first}"),
            ("127.0.0.1:5002", f"127.0.0.1:{second}"),
            ("/etc/live-prices/tls/", f"{folder}/"),
            ("/opt/live-prices/static/", f"{folder}/static/"),
            ("/var/log/nginx/", f"{folder}/"),
        )
        (folder / "live-prices.conf").write_text(text)
        (folder / "nginx.conf").write_text(
            "user root; daemon off; worker_processes 1;\n"
            f"pid {folder}/pid; error_log {folder}/main.log;\n"
            "events { worker_connections 512; }\n"
            "http {\n"
            "    types { text/javascript js; }\n"
            + "".join(
                f"    {kind}_temp_path {folder}/{kind};\n"
                for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
            )
            + f"    include {folder}/live-prices.conf;\n}}\n"
        )
        command = [nginx, "-c", f"{folder}/nginx.conf", "-p", str(folder)]
        subprocess.run([*command, "-t", "-q"], check=True)
        return command


class Caddy(Proxy):
    def command(self) -> list[str]:
        caddy = needed_program("caddy", "caddy")
        first, second = self.upstreams
        text = replaced(
            (ROOT / "deploy/caddy/Caddyfile").read_text(),
            (
                "\n{\n",
                f"\n{{\n\tadmin off\n\thttp_port {self.http_port}\n\tdefault_bind 127.0.0.1\n"
                f"\tstorage file_system {self.folder}/storage\n",
            ),
            (
                "\nprices.example.com {\n",
                f"\nhttps://{NAME}:{self.port} {{\n\ttls {self.certificate} {self.key}\n",
            ),
            ("127.0.0.1:5001", f"127.0.0.1:{first}"),
            ("127.0.0.1:5002", f"127.0.0.1:{second}"),
            ("/var/log/caddy/", f"{self.folder}/"),
        )
        path = self.folder / "Caddyfile"
        path.write_text(text)
        command = [caddy, "--config", str(path), "--adapter", "caddyfile"]
        subprocess.run(
            [caddy, "validate", *command[1:]], check=True, capture_output=True, text=True
        )
        return [caddy, "run", *command[1:]]


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
