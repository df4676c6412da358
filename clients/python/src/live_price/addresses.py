"""Addresses as people write them."""

from urllib.parse import urlsplit, urlunsplit

PATH = "/live-price"
_SECURE = {"ws": "ws", "http": "ws", "wss": "wss", "https": "wss"}


def socket_url(url: str) -> str:
    """Return the address of the WebSocket.

    `localhost:5000`, `http://localhost:5000` and `ws://localhost:5000/live-price` are the same.

    Raises:
        ValueError: it is none.
    """
    parts = urlsplit(url if "://" in url else f"ws://{url}")
    scheme = _SECURE.get(parts.scheme)
    if scheme is None or not parts.hostname:
        raise ValueError(f"url must be like ws://host:5000/live-price, got {url!r:.75}")
    path = parts.path if parts.path.strip("/") else PATH
    return urlunsplit((scheme, parts.netloc, path, parts.query, ""))


def http_url(url: str) -> str:
    """Return the address below which `/api/` is; also of the WebSocket's.

    Raises:
        ValueError: it is none.
    """
    parts = urlsplit(socket_url(url))
    path = parts.path.removesuffix("/").removesuffix(PATH).removesuffix("/api")
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(({"ws": "http", "wss": "https"}[parts.scheme], host, path, "", ""))


def without_secrets(url: str) -> str:
    """Return an address without its query and password, which may be secrets."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def authorization(token: str) -> str:
    """Return the header of an access token or an API key."""
    if token.lower().startswith(("bearer ", "api-key ")):
        return token
    return f"Bearer {token}" if token.count(".") == 2 else f"Api-Key {token}"
