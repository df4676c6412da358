"""The sockets that web servers accept on, bound before they start and inherited by them.

A port in use is noticed before anything starts, several servers share the port, and while one
restarts, its clients wait in the socket's queue instead of being refused.
"""

import errno
import os
import socket
import sys
from typing import Any

BACKLOG = 2048
CONNECT_TIMEOUT_S = 0.5
EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104  compared with, not bound here
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class CannotListen(Exception):
    """Listening on the address failed; the text says why and what to set."""


# The sockets of one server: of `localhost`, one for each family of addresses.
Listener = tuple[socket.socket, ...]


def open_listeners(host: str, port: int, count: int = 1) -> list[Listener]:
    """Return sockets that listen on one port, one listener for each server where that is possible.

    On Linux each server gets its own, and the kernel spreads clients evenly: 300 that connect at
    once to four servers split 70 70 71 89, where one socket for all four gave 42 42 51 165
    (uvicorn) and 5 23 103 169 (Daphne). Elsewhere they share one.

    Args:
        host: an address or name of this machine; `localhost` is both of its addresses where the
            machine has IPv6, `::` listens on IPv4 too, and `0.0.0.0` on `::1`, since programs
            of this machine may try only that for `localhost`.
        port: 0 for a free one.

    Raises:
        CannotListen: the port is in use or not allowed, or the address is not this machine's.
    """
    if port and in_use(host, port):
        raise CannotListen(port_in_use_text(port))
    try:
        family, _, _, _, address = socket.getaddrinfo(
            "127.0.0.1" if host == "localhost" else host,
            port,
            type=socket.SOCK_STREAM,
            flags=socket.AI_PASSIVE,
        )[0]
    except OSError as error:
        raise CannotListen(
            f"{host!r} is not an address or name of this machine: set --host to one"
        ) from error
    shared = count > 1 and sys.platform == "linux"
    listeners: list[Listener] = []
    opened: list[socket.socket] = []

    def listen(family: int, address: Any) -> socket.socket:
        opened.append(socket.socket(family, socket.SOCK_STREAM))
        bind(opened[-1], address, shared=shared)
        return opened[-1]

    try:
        for _ in range(count if shared else 1):
            first = listen(family, address)
            address = first.getsockname()
            second = ("::1", address[1])
            if host in ("localhost", EVERYWHERE[0]) and _exists(second[0]):
                listeners.append((first, listen(socket.AF_INET6, second)))
            else:
                listeners.append((first,))
    except OSError as error:
        for one in opened:
            one.close()
        raise CannotListen(bind_error_text(error, host, port)) from error
    return listeners


def _exists(address: str) -> bool:
    """Return whether this machine has an IPv6 address."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


def bind(listener: socket.socket, address: Any, *, shared: bool) -> None:
    """Bind and listen; raise OSError."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    # Accepted sockets inherit it on Linux: asyncio sets it on the sockets of its own servers, but
    # takes one that uvicorn got by --fd for a Unix socket. With Nagle's algorithm a price waits
    # until the one before it is acknowledged.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if address[0] == "::":
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listener.bind(address)
    listener.listen(BACKLOG)


def in_use(host: str, port: int) -> bool:
    """Return whether a program answers where clients would look for this one.

    Binding alone does not tell: another program may hold `localhost` by its other address, and
    on macOS by the wildcard.
    """
    local = host in EVERYWHERE or host in LOOPBACK
    for address in ("127.0.0.1", "::1") if local else (host,):
        try:
            socket.create_connection((address, port), CONNECT_TIMEOUT_S).close()
        except OSError:
            continue
        return True
    return False


def port_in_use_text(port: int) -> str:
    text = f"port {port} is in use: stop the program that listens there, or set PORT (or --port)"
    if sys.platform == "darwin" and port in (5000, 7000):
        text += "; on macOS it may be the AirPlay receiver"
    return text


def bind_error_text(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return port_in_use_text(port)
    if error.errno == errno.EACCES:
        return f"this user may not listen on port {port}: set PORT (or --port) to a port above 1023"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is not an address of this machine: set --host to one"
    return f"cannot listen on {host} port {port}: {os.strerror(error.errno or 0).lower()}"
