"""Passing a WebSocket to another process of this machine: its socket, before it is answered.

A WebSocket whose handshake is not answered yet is no more than a socket and the request that was
read from it. Both fit into one message of a Unix socket; afterwards the connection costs the
process that it came to nothing. A server adapter that can do this announces it in a WebSocket's
`scope["extensions"]`, under HANDOVER, and sets `taker`.
"""

import asyncio
import contextlib
import logging
import os
import socket
from array import array
from collections.abc import Callable
from typing import Protocol

logger = logging.getLogger(__name__)

HANDOVER = "quotes.handover"

_MAX_REQUEST_BYTES = 65_536
# Taken in one turn of the event loop.
_MOST = 64
_CLOSE_ON_EXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)

Take = Callable[[bytes, socket.socket], None]

# Serves a connection from its request on; None where the server of this process cannot.
taker: Take | None = None


class Handover(Protocol):
    """A WebSocket whose handshake is not answered yet."""

    def pass_to(self, path: str) -> bool:
        """Pass it to the process that listens there; return False if that is not possible.

        Raises:
            BlockingIOError: that process has many to take; try again soon.
        """


def pass_connection(path: str, request: bytes, connection: int) -> bool:
    """Pass a connection, by its descriptor, which the caller closes; see `Handover.pass_to`."""
    if len(request) > _MAX_REQUEST_BYTES:
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [connection]))]
        try:
            sender.sendmsg([request], rights, 0, path)
        except BlockingIOError:
            raise
        except OSError:
            return False
    return True


class ConnectionListener:
    """Takes the connections that other processes pass to a path, until it is closed.

    Args:
        take: serves one from its request on.
    """

    def __init__(self, path: str, take: Take) -> None:
        """Raises OSError: the path cannot be used."""
        self._take = take
        self._loop = asyncio.get_running_loop()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            self._socket.bind(path)
        except OSError:
            self._socket.close()
            raise
        self._loop.add_reader(self._socket.fileno(), self._read)

    def close(self) -> None:
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()

    def _read(self) -> None:
        for _ in range(_MOST):
            try:
                request, descriptors, flags, _ = socket.recv_fds(
                    self._socket, _MAX_REQUEST_BYTES, 1, _CLOSE_ON_EXEC
                )
            except OSError:
                return
            if len(descriptors) != 1 or flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
                for descriptor in descriptors:
                    os.close(descriptor)
                continue
            connection = socket.socket(fileno=descriptors[0])
            try:
                self._take(request, connection)
            except Exception:
                logger.exception("a connection of another process could not be taken")
                with contextlib.suppress(OSError):
                    connection.close()
