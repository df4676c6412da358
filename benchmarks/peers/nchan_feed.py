"""Feeds nchan: every message of Redis' `stock:*` becomes a POST to its channel, pipelined.

Run as `python -m benchmarks.peers.nchan_feed REDIS_PORT NGINX_PORT`.
"""

import socket
import sys
import time

import hiredis

PREFIX = b"stock:"
ACCEPTED = (b"HTTP/1.1 201", b"HTTP/1.1 202")  # somebody was listening, nobody was


def post(channel: bytes, message: bytes) -> bytes:
    """Return the request that publishes a message to a symbol's channel."""
    return b"POST /publish/%s HTTP/1.1\r\nHost: nchan\r\nContent-Length: %d\r\n\r\n%s" % (
        channel.removeprefix(PREFIX),
        len(message),
        message,
    )


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
        data = redis.recv(1 << 16)
        if not data:
            return
        reader.feed(data)
        requests = []
        while (message := reader.gets()) is not False:
            if message[0] == b"pmessage":
                requests.append(post(message[2], message[3]))
        if requests:
            nginx.sendall(b"".join(requests))
            answered = 0
            while answered < len(requests):
                answers = nginx.recv(1 << 16)
                if not answers:
                    raise ConnectionError("nginx closed the publisher's connection")
                answered += sum(answers.count(status) for status in ACCEPTED)


if __name__ == "__main__":
    main()
