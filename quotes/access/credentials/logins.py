"""Log-ins: the tokens that a user gets for a password, and how they end.

The tokens are those of djangorestframework-simplejwt, signed and verified by `tokens.py`. Each
carries its log-in (`sid`) and the stamp of the password.
"""

import time
import uuid
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone
from rest_framework_simplejwt.exceptions import TokenBackendError, TokenError
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken

from quotes.access.changes import login_end
from quotes.access.credentials.tokens import identity_of, own_claims, sign
from quotes.access.errors import BadCredentials
from quotes.access.selectors import read_accounts, stamp_of
from quotes.conf import conf
from quotes.runtime.clock import utc_time
from quotes.store.clients import probing_client
from quotes.store.redis_clock import redis_clock

# Expired refresh tokens are deleted when new ones are stored: by each process once a minute at
# most, so many at a time that they do not pile up and nobody waits for it.
_FLUSH_S = 60.0
_FLUSHED = 1000
_flushed_at = float("-inf")


def delete_expired() -> None:
    """Delete refresh tokens that have expired, unless this process did so within a minute."""
    global _flushed_at
    if time.monotonic() - _flushed_at < _FLUSH_S:
        return
    _flushed_at = time.monotonic()
    # A clock that is ahead must not delete the tokens that other machines issued.
    redis_clock.measure_if_due(probing_client())
    now = utc_time(redis_clock.earliest_ms())
    expired = OutstandingToken.objects.filter(expires_at__lte=now).order_by("id")
    OutstandingToken.objects.filter(
        pk__in=list(expired.values_list("pk", flat=True)[:_FLUSHED])
    ).delete()


class _Backend:
    """The token backend of simplejwt: signs and verifies."""

    def encode(self, payload: dict[str, Any]) -> str:
        return sign(payload)

    def decode(self, token: Any, verify: bool = True) -> dict[str, Any]:
        text = token.decode() if isinstance(token, bytes) else str(token)
        try:
            return own_claims(text, leeway_s=0)
        except BadCredentials as error:
            raise TokenBackendError(str(error)) from error

    def get_leeway(self) -> timedelta:
        return timedelta(0)


class LoginAccessToken(AccessToken):
    """An access token of this server."""

    @property
    def lifetime(self) -> timedelta:  # type: ignore[override]
        return timedelta(seconds=conf.access_token_s)

    def get_token_backend(self) -> Any:
        return _Backend()


class LoginRefreshToken(RefreshToken):
    """A refresh token of this server; its access tokens inherit `sid` and `stamp`."""

    access_token_class = LoginAccessToken

    @property
    def lifetime(self) -> timedelta:  # type: ignore[override]
        return timedelta(seconds=conf.refresh_token_s)

    def get_token_backend(self) -> Any:
        return _Backend()

    @classmethod
    def for_user(cls, user: Any) -> "LoginRefreshToken":
        """Begin a log-in of a user: return and store its first refresh token."""
        token = cls()
        token["user_id"] = str(user.pk)
        token["sid"] = uuid.uuid4().hex
        token["stamp"] = stamp_of(user)
        token._store(user.pk)
        delete_expired()
        return token

    @classmethod
    def read(cls, text: str) -> "LoginRefreshToken":
        """Parse and verify a token; raise simplejwt's TokenError."""
        return cls(text)  # type: ignore[arg-type]

    def _store(self, user_id: int) -> None:
        """Store the number of the token, so that it can be blacklisted; not the token, a secret."""
        OutstandingToken.objects.create(
            user_id=user_id,
            jti=self["jti"],
            token="",
            created_at=timezone.now(),
            expires_at=timezone.now() + self.lifetime,
        )

    def check_account(self) -> None:
        """Raise BadCredentials if the user, the log-in or the password is no longer valid."""
        identity = identity_of(self.payload)
        read_accounts([identity.user], [identity.login]).check(identity)

    def use_up(self) -> None:
        """Blacklist the token, which nobody may have used yet.

        Of any number of calls at the same time, in all processes, one returns: the database lets
        one row alone stand for a blacklisted token.

        Raises:
            TokenError: the token was used before.
        """
        try:
            with transaction.atomic():
                token = OutstandingToken.objects.get(jti=self["jti"])
                BlacklistedToken.objects.create(token=token)
        except (OutstandingToken.DoesNotExist, IntegrityError) as error:
            raise TokenError("the refresh token was used before") from error

    def successor(self) -> "LoginRefreshToken":
        """Use this token up, and store and return the next one of its log-in.

        Raises:
            TokenError: the token was used before.
        """
        with transaction.atomic():
            self.use_up()
            token = type(self)()
            for claim in ("user_id", "sid", "stamp"):
                token[claim] = self[claim]
            token._store(int(self["user_id"]))
        delete_expired()
        return token

    def end_login(self) -> None:
        """End the log-in: refuse its tokens from now on, and close its sockets."""
        self.blacklist()
        login_end(login=self["sid"], user_id=int(self["user_id"]), why="logged out")
