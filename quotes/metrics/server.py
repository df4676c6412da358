"""The small HTTP server at the address of QUOTES_METRICS: scrapes, and processes that join."""

import hmac
import ipaddress
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import urlsplit

from quotes.conf import conf
from quotes.metrics.address import MetricsAddress
from quotes.metrics.link import JOIN_PATH, KEY_HEADER, PROCESS_HEADER, WORKER_HEADER

METRICS_PATH = "/metrics"
# A request that takes longer is ended.
_REQUEST_TIMEOUT_S = 5.0
# Requests at a time; more connections are closed at once.
_MAX_REQUESTS = 16
_MAX_NAME = 32
# How often `serve` looks whether it should end.
_POLL_S = 0.25


class Scraped(Protocol):
    """What answers: an exporter."""

    def scrape(self, accept: str) -> tuple[bytes, str]:
        """Return the text of all processes of the machine, and its type."""

    def take(self, connection: socket.socket, process: str, worker: str) -> str:
        """Take another process in; return the number under which it is shown."""


class MetricsServer(ThreadingHTTPServer):
    """Listens at an address; `serve` runs until `end` is called from another thread.

    Raises:
        OSError: it cannot listen there, with EADDRINUSE if another process does.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 32
    timeout = _POLL_S
    _is_ending = False

    def __init__(self, address: MetricsAddress, *, key: str, exporter: Scraped) -> None:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
        self.address_family, _, _, _, bound = found[0]
        self.key = key
        self.exporter = exporter
        self._slots = threading.BoundedSemaphore(_MAX_REQUESTS)
        self._handed_over: set[Any] = set()
        super().__init__(bound[:2], _Handler)  # type: ignore[arg-type]

    def serve(self) -> None:
        """Answer requests until `end`."""
        while not self._is_ending:
            self.handle_request()

    def end(self) -> None:
        """Let `serve` return soon."""
        self._is_ending = True

    def close(self) -> None:
        """Listen no more."""
        self.server_close()

    def server_bind(self) -> None:
        # HTTPServer would look up the name of the host, which can take seconds.
        if self.allow_reuse_address:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = map(str, self.server_address[:2])  # type: ignore

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._slots.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def hand_over(self, request: Any) -> socket.socket:
        """Return the connection of a request, which from now on is not the server's."""
        self._handed_over.add(request)
        return request.dup()  # type: ignore[no-any-return]

    def shutdown_request(self, request: Any) -> None:
        if request in self._handed_over:
            self._handed_over.discard(request)
            self.close_request(request)  # of the two descriptors this one alone
        else:
            super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that end their connection."""


class _Handler(BaseHTTPRequestHandler):
    server: MetricsServer
    timeout = _REQUEST_TIMEOUT_S
    server_version = "live-price"
    sys_version = ""

    def do_GET(self) -> None:
        if urlsplit(self.path).path != METRICS_PATH:
            self._answer(404, b"metrics are at /metrics\n")
        elif not may_scrape(self.headers.get("Authorization", "")):
            self._answer(401, b"present the token of QUOTES_METRICS_TOKEN as a bearer token\n")
        else:
            body, content_type = self.server.exporter.scrape(self.headers.get("Accept", ""))
            self._answer(200, body, content_type)

    do_HEAD = do_GET

    def do_POST(self) -> None:
        if self.path != JOIN_PATH:
            self._answer(404, b"metrics are at /metrics\n")
            return
        key = self.headers.get(KEY_HEADER, "")
        if not self._is_local() or not hmac.compare_digest(key.encode(), self.server.key.encode()):
            self._answer(403, b"another deployment\n")
            return
        process = self.headers.get(PROCESS_HEADER, "")[:_MAX_NAME] or "other"
        worker = self.headers.get(WORKER_HEADER, "")[:_MAX_NAME]
        connection = self.server.hand_over(self.request)
        name = self.server.exporter.take(connection, process, worker)
        self.send_response(101)
        self.send_header("Upgrade", "metrics")
        self.send_header(WORKER_HEADER, name)
        self.end_headers()
        self.close_connection = True

    def _is_local(self) -> bool:
        """Return whether the caller is on this machine."""
        try:
            peer = ipaddress.ip_address(self.client_address[0].partition("%")[0])
        except ValueError:
            return False
        peer = getattr(peer, "ipv4_mapped", None) or peer
        return peer.is_loopback or self.client_address[0] == self.connection.getsockname()[0]

    def _answer(self, status: int, body: bytes, content_type: str = "text/plain") -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        if status == 401:
            self.send_header("WWW-Authenticate", 'Bearer realm="metrics"')
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Log no requests: there is one every few seconds."""


def may_scrape(authorization: str, *, is_local: bool = True) -> bool:
    """Return whether a caller may read metrics.

    Args:
        authorization: its Authorization header.
        is_local: whether it needs no token unless one is set.
    """
    token = conf.metrics_token
    if not token:
        return is_local
    scheme, _, presented = authorization.partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(
        presented.strip().encode(), token.encode()
    )
