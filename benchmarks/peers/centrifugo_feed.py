"""Feeds Centrifugo: what one read from Redis holds becomes one request of its batch API.

Run as `python -m benchmarks.peers.centrifugo_feed REDIS_PORT CENTRIFUGO_PORT [parallel]`. With
`parallel`, Centrifugo publishes a batch's prices at once, which its Redis engine needs: one after
another, each would wait for Redis. Batches with several prices of a symbol stay in order.
"""

import sys
from functools import partial

from benchmarks.peers.feed import Messages, feed_http, ports

REFUSALS = (b"HTTP/1.1 4", b"HTTP/1.1 5", b'"error":')


def batch(messages: Messages, *, parallel: bool) -> bytes:
    """Return the request that publishes the messages, each to its symbol's channel."""
    commands = b",".join(
        b'{"publish":{"channel":"%s","data":%s}}' % message for message in messages
    )
    at_once = parallel and len({symbol for symbol, _ in messages}) == len(messages)
    body = b'{"parallel":%s,"commands":[%s]}' % (b"true" if at_once else b"false", commands)
    head = b"POST /api/batch HTTP/1.1\r\nHost: centrifugo\r\nContent-Length: %d\r\n\r\n" % len(body)
    return head + body


if __name__ == "__main__":
    feed_http(*ports(), partial(batch, parallel="parallel" in sys.argv), REFUSALS)
