"""Deadlines of HTTP requests and answers, for the protocols of the web servers.

The deadline of a body on uvicorn is that of `quotes.access.middleware.body_limit`, where the
application reads it.
"""

from quotes.conf import conf

# What a client is answered whose request is not whole in time; the connection ends behind it.
REQUEST_TIMEOUT = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


def body_time_s(received: int) -> float:
    """Return how long a body may take of which this many bytes came, in seconds."""
    return conf.body_timeout_s + received / conf.min_bytes_per_s


def write_time_s(unsent: int) -> float:
    """Return within how many seconds a client must have taken the unsent bytes of its answer."""
    return conf.write_timeout_s + unsent / conf.min_bytes_per_s
