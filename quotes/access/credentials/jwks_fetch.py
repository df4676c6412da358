"""One HTTP GET with a deadline as a whole: connecting, TLS, headers and body, however they drip.

`urllib` has time-outs for each read of the socket alone. At the deadline a timer shuts the socket,
which ends whatever waits for it.
"""

import contextlib
import http.client
import socket
import ssl
import threading
import time
import urllib.request
from typing import Any

MAX_BYTES = 262_144


def fetch(url: str, timeout_s: float) -> bytes:
    """Return the body at a URL; blocks for the time at most, besides the look-up of its host.

    Follows no redirect.

    Raises:
        OSError: it cannot be reached, or its answer is not whole in time (TimeoutError) or is
            another status.
        ValueError: the body has more than MAX_BYTES.
        http.client.HTTPException: the answer is no HTTP.
    """
    with _Deadline(timeout_s) as deadline:
        opener = urllib.request.build_opener(
            _NoRedirects, _HTTPHandler(deadline), _HTTPSHandler(deadline)
        )
        try:
            with opener.open(url, timeout=timeout_s) as answer:
                body: bytes = answer.read(MAX_BYTES + 1)
        except Exception as error:
            deadline.check(error)
            raise
        deadline.check(None)
    if len(body) > MAX_BYTES:
        raise ValueError(f"the answer has more than {MAX_BYTES} bytes")
    return body


class _Deadline:
    """Shuts the sockets of a fetch when its time is over."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._ends_at = time.monotonic() + timeout_s
        self._sockets: list[socket.socket] = []
        self._is_over = False
        self._lock = threading.Lock()
        self._timer = threading.Timer(timeout_s, self._end)
        self._timer.daemon = True

    def __enter__(self) -> "_Deadline":
        self._timer.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._timer.cancel()

    def watch(self, one: socket.socket) -> None:
        """Shut the socket at the deadline, or now if that is past."""
        with self._lock:
            self._sockets.append(one)
            if self._is_over:
                _shut(one)

    def check(self, cause: Exception | None) -> None:
        """Raise TimeoutError if the time is over, whatever came of the shut sockets."""
        if self._is_over:
            raise TimeoutError(f"the answer took more than {self._timeout_s:g} s") from cause

    def connect(
        self, address: tuple[str, int], timeout: object = None, source: object = None
    ) -> socket.socket:
        """As `socket.create_connection`, with one deadline for all addresses of a host."""
        error: OSError | None = None
        for family, kind, protocol, _, place in socket.getaddrinfo(
            *address, type=socket.SOCK_STREAM
        ):
            one = socket.socket(family, kind, protocol)
            one.settimeout(max(0.001, self._ends_at - time.monotonic()))
            try:
                one.connect(place)
            except OSError as failure:
                one.close()
                error = failure
            else:
                self.watch(one)
                return one
        raise error or OSError("the host has no address")

    def _end(self) -> None:
        with self._lock:
            self._is_over = True
            for one in self._sockets:
                _shut(one)


def _shut(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        # Not that of SSLSocket, which takes the TLS object from under the thread that reads.
        socket.socket.shutdown(one, socket.SHUT_RDWR)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Refuses redirects: keys come from the URL of the setting alone."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


class _Connection(http.client.HTTPConnection):
    """A connection whose sockets are shut at the deadline."""

    def __init__(self, *args: Any, deadline: _Deadline, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._create_connection = deadline.connect


class _SecureConnection(_Connection):
    """The same by TLS."""

    default_port = http.client.HTTPS_PORT

    def __init__(self, *args: Any, deadline: _Deadline, **kwargs: Any) -> None:
        super().__init__(*args, deadline=deadline, **kwargs)
        self._deadline = deadline

    def connect(self) -> None:
        super().connect()  # through a proxy's tunnel if there is one
        name = self._tunnel_host or self.host  # type: ignore[attr-defined]
        # The handshake comes afterwards: by then the deadline knows the socket that it uses.
        secure = ssl.create_default_context().wrap_socket(
            self.sock, server_hostname=name, do_handshake_on_connect=False
        )
        self.sock = secure
        self._deadline.watch(secure)
        secure.do_handshake()


class _HTTPHandler(urllib.request.HTTPHandler):
    def __init__(self, deadline: _Deadline) -> None:
        super().__init__()
        self._deadline = deadline

    def http_open(self, request: urllib.request.Request) -> Any:
        return self.do_open(_Connection, request, deadline=self._deadline)  # type: ignore[arg-type]


class _HTTPSHandler(urllib.request.HTTPSHandler):
    def __init__(self, deadline: _Deadline) -> None:
        super().__init__()
        self._deadline = deadline

    def https_open(self, request: urllib.request.Request) -> Any:
        return self.do_open(
            _SecureConnection,  # type: ignore[arg-type]
            request,
            deadline=self._deadline,
        )
