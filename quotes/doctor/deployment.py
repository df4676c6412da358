"""What several checks look at, read once: the parts of `/readyz`, and web processes' answers."""

import threading
from dataclasses import dataclass, field

import redis
from django.conf import settings
from django.http.request import validate_host

from quotes.rest.readiness import Readiness
from quotes.store.clients import probing_client
from quotes.store.connection_reports import Answers, ask_processes
from quotes.store.redis_clock import MACHINE


@dataclass
class Deployment:
    """The deployment that is checked; safe to use from the threads of several checks.

    Attributes:
        url: the public address, such as https://prices.example.com; "" if it is not checked.
        token: a token or API key for it; never shown.
        symbol: the symbol whose price the public side must send; "" for the newest one in Redis.
    """

    url: str = ""
    token: str = field(default="", repr=False)
    symbol: str = ""
    _readiness: Readiness | None = None
    _answers: Answers | None = None
    _reading: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _asking: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def readiness(self) -> Readiness:
        """Return what `/readyz` would say; it takes up to 2 s when Redis hangs."""
        with self._reading:
            if self._readiness is None:
                self._readiness = Readiness.check(with_names=True, process="doctor")
            return self._readiness

    def part(self, name: str) -> str:
        """Return the state of a part of `/readyz`; "ok" for one that is not there."""
        return self.readiness().parts.get(name, "ok")

    def web_processes(self) -> Answers:
        """Return the answers of all web processes; raise redis.RedisError."""
        with self._asking:
            if self._answers is None:
                self._answers = ask_processes()
            return self._answers

    def local_processes(self) -> list[int]:
        """Return the ids of the web processes of this machine; none while Redis is away."""
        try:
            return [one.pid for one in self.web_processes().reports if one.machine == MACHINE]
        except redis.RedisError:
            return []

    @property
    def redis(self) -> redis.Redis:
        """A client that gives up soon."""
        return probing_client()


def own_host() -> str:
    """Return a Host header for requests to this machine, one that ALLOWED_HOSTS admits."""
    if validate_host("localhost", settings.ALLOWED_HOSTS or [".localhost"]):
        return "localhost"
    names = [name for name in settings.ALLOWED_HOSTS if not name.startswith(("*", "."))]
    return names[0] if names else "localhost"
