"""The way from Redis' `stock:*` to a peer: the same for every peer that does not read Redis itself.

What one read of the socket holds is handed on at once: a feeder that is behind gets more with each
read, so that its cost per price falls.
"""

import select
import socket
import sys
import time
from collections import deque
from collections.abc import Callable

import hiredis

PREFIX = b"stock:"
SUBSCRIBE = b"PSUBSCRIBE %s*\r\n" % PREFIX
READ_BYTES = 1 << 18
TAIL_BYTES = 32  # of answers: what is looked for may be cut by the end of a read
CHUNKS_END = b"\r\n0"  # bytes of what follows the last chunk of a body

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
    requests: Callable[[Messages], list[bytes]],
    refusals: tuple[bytes, ...],
    *,
    end: bytes = b"",
) -> None:
    """Publish every message to a server over one HTTP connection, until one of the two has gone.

    Args:
        redis_port: of this machine.
        server_port: of this machine.
        requests: return what to send to publish some messages, in order.
        refusals: texts that only the answer to a refused request has.
        end: of an answer's body, and in no other place of it. The next request then waits for the
            answer to the last, and messages that come meanwhile go together. Empty: requests are
            pipelined.

    Raises:
        ValueError: the server refused a price.
    """
    server, redis = connect(server_port), connect(redis_port)
    redis.sendall(SUBSCRIBE)
    reader = MessageReader()
    due: deque[bytes] = deque()
    waiting, answers = False, b""
    while True:
        while due and not waiting:
            server.sendall(due.popleft())
            waiting = bool(end)
        ready, _, _ = select.select([server] if waiting else [redis, server], [], [])
        if server in ready:
            data = server.recv(READ_BYTES)
            if not data:
                return
            answers = answers[-TAIL_BYTES:] + data
            if any(refusal in answers for refusal in refusals):
                raise ValueError(f"the server must accept every price, got {answers[:200]!r}")
            if waiting and answers.rstrip(CHUNKS_END).endswith(end):
                waiting, answers = False, b""
        elif redis in ready:
            data = redis.recv(READ_BYTES)
            if not data:
                return
            due.extend(requests(reader.feed(data)))


def ports() -> tuple[int, int]:
    """Return the two ports of the command line: of Redis and of the server."""
    redis_port, server_port = map(int, sys.argv[1:3])
    return redis_port, server_port
