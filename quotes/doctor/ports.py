"""Ports: whether this machine's web server listens at PORT, and what it says of itself."""

import http.client
from collections.abc import Iterator

import redis
from django.conf import settings

from quotes.doctor.deployment import Deployment
from quotes.doctor.findings import Finding, Level, error, from_sentence, ok, warning
from quotes.doctor.local_requests import get_json
from quotes.serve.listening import in_use, port_in_use_text


def check_ports(deployment: Deployment) -> Iterator[Finding]:
    """Check the web server of this machine; one that is elsewhere is no problem."""
    port = settings.PORT
    if not in_use("localhost", port):
        yield _nobody_listens(deployment, port)
        return
    try:
        status, answer = get_json(port, "/healthz", timeout_s=2.0)
    except (OSError, http.client.HTTPException):
        status, answer = 0, {}
    if status == 400:
        yield error(
            f"the web server on port {port} refuses its own host name",
            "add the name of this machine to ALLOWED_HOSTS",
        )
        return
    if status != 200 or answer.get("status") != "ok":
        yield error(f"the program on port {port} answers no health check", port_in_use_text(port))
        return
    yield ok(f"a web server listens on port {port}")
    yield from _of_process(port)


def _nobody_listens(deployment: Deployment, port: int) -> Finding:
    try:
        elsewhere = deployment.web_processes().processes
    except redis.RedisError:
        elsewhere = 0
    if elsewhere:
        return ok(f"no web server on port {port} of this machine, {elsewhere} web processes work")
    return warning(
        f"no web server listens on port {port}, and none elsewhere answers",
        "start `manage.py serve`, or the web server",
        "prices-stopped",
    )


def _of_process(port: int) -> Iterator[Finding]:
    """Yield what only that process can know: its tasks, and whether prices reach it."""
    try:
        _, answer = get_json(port, "/readyz", timeout_s=4.0)
    except (OSError, http.client.HTTPException):
        yield error(
            "/readyz does not answer within 4 s",
            "restart the web process, and report its log",
            "prices-stopped",
        )
        return
    for name, level in (("lanes", Level.ERROR), ("tasks", Level.WARNING)):
        state = str(answer.get(name, "ok"))
        if state not in ("ok", "unknown while Redis does not answer"):
            yield from_sentence(level, state, "restart the web process", "prices-stopped")
    if failed := int(answer.get("failed_clients") or 0):
        yield warning(
            f"{failed} clients could not be served by that process since its start",
            "report what its log says of each incident",
            "a-client-complains",
        )
