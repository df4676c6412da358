"""TLS: when the certificates end that clients, Redis, PostgreSQL and issuers of tokens show."""

import contextlib
import datetime
import socket
import ssl
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from cryptography import x509
from django.conf import settings

from quotes.conf import conf
from quotes.doctor.deployment import Deployment
from quotes.doctor.findings import Finding, error, ok, summed_up, warning
from quotes.kafka.conf import conf as kafka_conf
from quotes.serve.redis_probe import RedisAddress, RedisUnavailable

SOON_DAYS, AT_ONCE_DAYS = 21, 3
_TIMEOUT_S = 3.0
# The code of PostgreSQL's SSLRequest; the server answers S if it goes on with TLS.
_SSL_REQUEST = struct.pack("!ii", 8, 80877103)
_CURE = "renew it, and reload what shows it"


class _Server(NamedTuple):
    what: str
    host: str
    port: int
    is_postgresql: bool = False


def check_certificates(deployment: Deployment) -> Iterator[Finding]:
    """Check the end of each certificate; whether one is trusted is for those who connect."""
    yield from summed_up(_problems(deployment), "no other certificates")


def _problems(deployment: Deployment) -> Iterator[Finding]:
    for server in _servers(deployment):
        try:
            end = _end_of_server(server)
        except (OSError, ValueError) as problem:
            yield error(
                f"the certificate of {server.what} ({server.host}:{server.port}) cannot be read: "
                f"{problem}",
                "check the address, and that it expects TLS",
            )
            continue
        yield finding_of_end(f"the certificate of {server.what}", end)
    for name in ("ssl_certificate_location", "ssl_ca_location"):
        if path := str(getattr(kafka_conf, name)):
            try:
                end = x509.load_pem_x509_certificate(Path(path).read_bytes()).not_valid_after_utc
            except (OSError, ValueError):
                yield error(f"KAFKA_{name.upper()} is no readable PEM file", "correct its path")
                continue
            yield finding_of_end(f"the certificate of KAFKA_{name.upper()}", end)


def finding_of_end(what: str, end: datetime.datetime) -> Finding:
    """Return what to do about a certificate that ends then."""
    days = (end - datetime.datetime.now(datetime.UTC)).total_seconds() / 86400
    if days <= 0:
        return error(f"{what} ended on {end:%Y-%m-%d}", _CURE)
    text = f"{what} ends on {end:%Y-%m-%d}, in {days:.0f} days"
    if days < SOON_DAYS:
        return (error if days < AT_ONCE_DAYS else warning)(text, _CURE)
    return ok(text)


def end_of_certificate(host: str, port: int, *, timeout_s: float = _TIMEOUT_S) -> datetime.datetime:
    """Return when the certificate ends that a TLS server shows, trusted or not; raise OSError."""
    return _end_of_server(_Server("", host, port), timeout_s)


def _servers(deployment: Deployment) -> Iterator[_Server]:
    public = urlsplit(deployment.url)
    if public.scheme in ("https", "wss") and public.hostname:
        yield _Server("the public address", public.hostname, public.port or 443)
    with contextlib.suppress(RedisUnavailable):
        address = RedisAddress.from_url(settings.REDIS_URL)
        if address.tls:
            yield _Server("Redis", address.host, address.port)
    found = set()
    for database in settings.DATABASES.values():
        mode = str(database.get("OPTIONS", {}).get("sslmode", ""))
        place = (str(database.get("HOST", "")), int(database.get("PORT") or 5432))
        is_encrypted = mode in ("require", "verify-ca", "verify-full")
        if is_encrypted and place not in found and not place[0].startswith("/"):
            found.add(place)
            yield _Server("PostgreSQL", *place, is_postgresql=True)
    issuer = urlsplit(conf.jwks_url)
    if issuer.scheme == "https" and issuer.hostname:
        yield _Server("QUOTES_JWKS_URL", issuer.hostname, issuer.port or 443)


def _end_of_server(server: _Server, timeout_s: float = _TIMEOUT_S) -> datetime.datetime:
    context = ssl.create_default_context()
    # The end is read of any certificate, and nothing is sent over the connection.
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((server.host, server.port), timeout_s) as plain:
        if server.is_postgresql:
            plain.sendall(_SSL_REQUEST)
            if plain.recv(1) != b"S":
                raise OSError("the server offers no TLS")
        with context.wrap_socket(plain, server_hostname=server.host) as encrypted:
            certificate = encrypted.getpeercert(binary_form=True)
    if not certificate:
        raise OSError("the server shows no certificate")
    return x509.load_der_x509_certificate(certificate).not_valid_after_utc
