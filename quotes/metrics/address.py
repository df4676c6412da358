"""Where metrics are read: the address of QUOTES_METRICS, and the names that belong to it."""

from typing import NamedTuple

from django.conf import settings
from django.utils.crypto import salted_hmac

from quotes.conf import conf

OFF = "off"


class MetricsAddress(NamedTuple):
    """Where one process of a machine answers scrapes for all."""

    host: str
    port: int

    @property
    def local(self) -> tuple[str, int]:
        """The address at which processes of this machine reach it."""
        here = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  compared with, not bound
        return here.get(self.host, self.host), self.port

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def metrics_address(text: str | None = None) -> MetricsAddress | None:
    """Return the address of a setting's text, by default of QUOTES_METRICS; None: metrics are off.

    Raises:
        ValueError: it is no address.
    """
    text = (conf.metrics if text is None else text).strip()
    if text.lower() == OFF:
        return None
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"must be ADDRESS:PORT or off, got {text!r}")
    return MetricsAddress("127.0.0.1" if host == "localhost" else host, int(port))


def deployment_key() -> str:
    """Return what proves that a process belongs to this deployment; it is a secret."""
    names = f"{settings.REDIS_URL} {conf.key_prefix}"
    return salted_hmac("quotes.metrics", names, algorithm="sha256").hexdigest()
