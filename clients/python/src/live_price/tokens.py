"""The token of a client: where it comes from, and which one the server has refused."""

import inspect
from collections.abc import Awaitable, Callable

from live_price.errors import AuthenticationError

TokenCallback = Callable[[], "str | Awaitable[str | None] | None"]
Token = str | TokenCallback | None


class TokenSource:
    """Gives the token for each connection.

    Args:
        token: an access token or API key, or a function that returns one.

    Attributes:
        current: the one that was given last.
    """

    def __init__(self, token: Token) -> None:
        if token is not None and not isinstance(token, str) and not callable(token):
            raise TypeError(f"token must be text or a function, got {type(token).__name__}")
        self._token = token
        self._refusal: AuthenticationError | None = None
        self._refused: str | None = None
        self.current: str | None = None

    @property
    def can_renew(self) -> bool:
        """Whether another token can be asked for."""
        return callable(self._token)

    def replace(self, token: str) -> None:
        """Use another token from now on, if none is asked for."""
        if not self.can_renew:
            self._token = token
        self.current = token

    def refuse(self, error: AuthenticationError) -> None:
        """Note that the server does not accept the last token: it is not sent again."""
        self._refusal, self._refused = error, self.current

    async def get(self) -> str | None:
        """Return the token for the next connection.

        Raises:
            AuthenticationError: it is the one that the server refused.
            Exception: whatever the function raised.
        """
        token = self._token
        if callable(token):
            found = token()
            token = await found if inspect.isawaitable(found) else found
        if token is not None and not isinstance(token, str):
            raise TypeError(f"the token function must return text, got {type(token).__name__}")
        token = token.strip() if token else None
        if self._refusal is not None and token == self._refused:
            raise self._refusal
        self.current = token
        return token
