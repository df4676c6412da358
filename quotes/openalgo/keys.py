"""Telling the credentials of this server from the API keys of others."""

from quotes.access.credentials.api_keys import KEY_START


def is_ours(text: str) -> bool:
    """Return whether a text has the form of this server's API keys or of a token (JWT).

    Others are keys of OpenAlgo's own servers, which are 64 hexadecimal digits, or made up.
    """
    return text.startswith(KEY_START) or text.count(".") == 2
