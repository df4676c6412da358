"""Feeds nchan: every message of Redis' `stock:*` becomes a POST to its channel, pipelined.

It does not wait for nginx's answers before it sends the next price; a refusal ends it.

Run as `python -m benchmarks.peers.nchan_feed REDIS_PORT NGINX_PORT`.
"""

import select
import socket
import sys
import time

import hiredis

PREFIX = b"stock:"
REFUSED = (b"HTTP/1.1 4", b"HTTP/1.1 5")


def post(channel: bytes, message: bytes) -> bytes:
    """Return the request that publishes a message to a symbol's channel."""
    return b"POST /publish/%s HTTP/1.1\r\nHost: nchan\r\nContent-Length: %d\r\n\r\n%s" % (
        channel.removeprefix(PREFIX),
        len(message),
        message,
    )


def refused_none(answers: bytes) -> bool:
    """Return False when nginx has gone; it must not refuse a price."""
    if any(status in answers for status in REFUSED):
        raise ValueError(f"nchan must accept every price, was {answers[:75]!r}")
    return bool(answers)


def connect(port: int) -> socket.socket:
    """Connect to a server of this machine that may be about to start."""
    for _ in range(100):
        try:
            return socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            time.sleep(0.1)
    raise TimeoutError(f"nothing listens at port {port}")


def main() -> None:
    redis_port, nginx_port = map(int, sys.argv[1:])
    nginx = connect(nginx_port)
    nginx.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    redis = connect(redis_port)
    redis.sendall(b"PSUBSCRIBE %s*\r\n" % PREFIX)
    reader = hiredis.Reader()
    while True:
        ready, _, _ = select.select([redis, nginx], [], [])
        if nginx in ready and not refused_none(nginx.recv(1 << 16)):
            return
        if redis in ready:
            data = redis.recv(1 << 16)
            if not data:
                return
            reader.feed(data)
            requests = []
            while (message := reader.gets()) is not False:
                if message[0] == b"pmessage":
                    requests.append(post(message[2], message[3]))
            nginx.sendall(b"".join(requests))


if __name__ == "__main__":
    main()
