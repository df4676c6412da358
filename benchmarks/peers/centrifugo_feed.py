"""Feeds Centrifugo: what one read from Redis holds becomes requests of its batch API.

The next batch waits for the answer to the last: Centrifugo takes a connection's requests one after
another, so that pipelined small ones would queue, each behind a round trip of its Redis engine.

Run as `python -m benchmarks.peers.centrifugo_feed REDIS_PORT CENTRIFUGO_PORT [parallel]`. With
`parallel`, Centrifugo publishes a batch's prices at once, which its Redis engine needs: one after
another, each would wait for Redis. No symbol is in such a batch twice, so that its order is kept.
"""

import sys
from functools import partial

from benchmarks.peers.feed import Messages, feed_http, ports

REFUSALS = (b"HTTP/1.1 4", b"HTTP/1.1 5", b'"error":')
END = b"]}"  # of the answer, `{"replies":[..]}`
MOST = 256  # prices in a batch


def batches(messages: Messages, *, parallel: bool) -> list[bytes]:
    """Return the requests that publish the messages, each to its symbol's channel, in order."""
    found: list[bytes] = []
    begun: Messages = []
    symbols: set[bytes] = set()
    for symbol, price in messages:
        if len(begun) == MOST or (parallel and symbol in symbols):
            found.append(batch(begun, parallel=parallel))
            begun, symbols = [], set()
        begun.append((symbol, price))
        symbols.add(symbol)
    if begun:
        found.append(batch(begun, parallel=parallel))
    return found


def batch(messages: Messages, *, parallel: bool) -> bytes:
    """Return the request that publishes the messages."""
    commands = b",".join(
        b'{"publish":{"channel":"%s","data":%s}}' % message for message in messages
    )
    body = b'{"parallel":%s,"commands":[%s]}' % (b"true" if parallel else b"false", commands)
    head = b"POST /api/batch HTTP/1.1\r\nHost: centrifugo\r\nContent-Length: %d\r\n\r\n" % len(body)
    return head + body


if __name__ == "__main__":
    feed_http(*ports(), partial(batches, parallel="parallel" in sys.argv), REFUSALS, end=END)
