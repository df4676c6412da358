"""Feeds nchan: every message of Redis' `stock:*` becomes a POST to its channel, pipelined.

Run as `python -m benchmarks.peers.nchan_feed REDIS_PORT NGINX_PORT`.
"""

from benchmarks.peers.feed import Messages, feed_http, ports

REFUSALS = (b"HTTP/1.1 4", b"HTTP/1.1 5")


def requests(messages: Messages) -> list[bytes]:
    """Return a request per message, which publishes it to its symbol's channel, in one piece."""
    found = b"".join(
        b"POST /publish/%s HTTP/1.1\r\nHost: nchan\r\nContent-Length: %d\r\n\r\n%s"
        % (symbol, len(price), price)
        for symbol, price in messages
    )
    return [found] if found else []


if __name__ == "__main__":
    feed_http(*ports(), requests, REFUSALS)
