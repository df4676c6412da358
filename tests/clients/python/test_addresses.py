"""Addresses as people write them, and the headers of tokens."""

import pytest
from live_price.addresses import authorization, http_url, socket_url, without_secrets


@pytest.mark.parametrize(
    ("written", "socket", "http"),
    [
        ("localhost:5000", "ws://localhost:5000/live-price", "http://localhost:5000"),
        ("http://a", "ws://a/live-price", "http://a"),
        ("https://a/", "wss://a/live-price", "https://a"),
        ("wss://a/live-price", "wss://a/live-price", "https://a"),
        ("https://a/prices/live-price", "wss://a/prices/live-price", "https://a/prices"),
        ("ws://a/live-price?ticket=x", "ws://a/live-price?ticket=x", "http://a"),
        ("ws://[::1]:5000", "ws://[::1]:5000/live-price", "http://[::1]:5000"),
        ("http://u:secret@a/api/", "ws://u:secret@a/api/", "http://a"),
    ],
)
def test_addresses_of_the_socket_and_of_http(written: str, socket: str, http: str) -> None:
    """Scheme and path may be left out."""
    assert (socket_url(written), http_url(written)) == (socket, http)
    assert "secret" not in without_secrets(socket) and "ticket" not in without_secrets(socket)


@pytest.mark.parametrize("wrong", ["", "ftp://a", "ws://", "://a", "http:///x"])
def test_other_addresses_are_refused(wrong: str) -> None:
    """With what one looks like."""
    with pytest.raises(ValueError, match="url must be like ws://host:5000/live-price"):
        socket_url(wrong)


def test_tokens_say_what_they_are() -> None:
    """Access tokens have three parts; API keys do not; a scheme that is written is kept."""
    assert authorization("a.b.c") == "Bearer a.b.c"
    assert authorization("lp_1_2") == "Api-Key lp_1_2"
    assert authorization("Bearer lp") == "Bearer lp"
