"""The way from Redis' `stock:*` to a peer: the same for every peer that does not read Redis itself.

What one read of the socket holds is handed on at once: a feeder that is behind gets more with each
read, so that its cost per price falls.
"""

import select
import socket
import sys
import time
from collections.abc import Callable

import hiredis

PREFIX = b"stock:"
SUBSCRIBE = b"PSUBSCRIBE %s*\r\n" % PREFIX
READ_BYTES = 1 << 16

Messages = list[tuple[bytes, bytes]]  # symbol, price as it was published


class MessageReader:
    """Takes the stream of a Redis connection that is subscribed to `stock:*` apart."""

    def __init__(self) -> None:
        self.reader = hiredis.Reader()

    def feed(self, data: bytes) -> Messages:
        """Return the messages that the data completes."""
        self.reader.feed(data)
        found = []
        while (message := self.reader.gets()) is not False:
            if message[0] == b"pmessage":
                found.append((message[2].removeprefix(PREFIX), message[3]))
        return found


def connect(port: int) -> socket.socket:
    """Connect to a server of this machine that may be about to start."""
    for _ in range(100):
        try:
            connection = socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            time.sleep(0.1)
        else:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection
    raise TimeoutError(f"nothing listens at port {port}")


def feed_http(
    redis_port: int,
    server_port: int,
    requests: Callable[[Messages], bytes],
    refusals: tuple[bytes, ...],
) -> None:
    """Publish every message to a server over one HTTP connection, until one of the two has gone.

    Requests are pipelined: the next one does not wait for the answer to the last.

    Args:
        redis_port: of this machine.
        server_port: of this machine.
        requests: return the requests that publish some messages.
        refusals: texts that only the answer to a refused request has.

    Raises:
        ValueError: the server refused a price.
    """
    server, redis = connect(server_port), connect(redis_port)
    redis.sendall(SUBSCRIBE)
    reader = MessageReader()
    while True:
        ready, _, _ = select.select([redis, server], [], [])
        if server in ready:
            answers = server.recv(READ_BYTES)
            if not answers:
                return
            if any(refusal in answers for refusal in refusals):
                raise ValueError(f"the server must accept every price, was {answers[:200]!r}")
        if redis in ready:
            data = redis.recv(READ_BYTES)
            if not data:
                return
            messages = reader.feed(data)
            if messages:
                server.sendall(requests(messages))


def ports() -> tuple[int, int]:
    """Return the two ports of the command line: of Redis and of the server."""
    redis_port, server_port = map(int, sys.argv[1:3])
    return redis_port, server_port
