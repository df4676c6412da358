"""REST endpoints of access: tokens, log-out, and tickets for sockets."""

import time
from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from redis.exceptions import RedisError
from rest_framework import serializers
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.serializers import TokenObtainPairSerializer, TokenRefreshSerializer

from instruments.rest import ApiErrorSerializer
from quotes.access.accounts import Identity
from quotes.access.changes import login_end, session_login
from quotes.access.credentials.api_keys import identity_of_key, may_read
from quotes.access.credentials.logins import LoginRefreshToken
from quotes.access.credentials.tickets import TICKET_S, ticket_issue
from quotes.access.credentials.tokens import own_claims, verify
from quotes.access.errors import AccessDown, BadCredentials
from quotes.access.models import ApiKey
from quotes.access.rest.authentication import AUTHENTICATION, Unavailable
from quotes.access.rest.throttling import LoginThrottle
from quotes.access.selectors import read_accounts, stamp_of
from quotes.conf import conf
from quotes.store.request_clients import request_client

REFUSED = OpenApiResponse(
    ApiErrorSerializer, "The credentials are not valid; the message says why."
)
BUSY = OpenApiResponse(ApiErrorSerializer, "Too many requests; Retry-After says when to try again.")


class PairSerializer(TokenObtainPairSerializer):
    token_class = LoginRefreshToken


class RefreshSerializer(TokenRefreshSerializer):
    """Exchanges a refresh token for a new pair: once, however many requests bring it."""

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        token = LoginRefreshToken.read(attrs["refresh"])
        token.check_account()
        successor = token.successor()
        return {"access": str(successor.access_token), "refresh": str(successor)}


class PairAnswer(serializers.Serializer[Any]):
    access = serializers.CharField(
        help_text="Opens requests and sockets, for 15 minutes by default."
    )
    refresh = serializers.CharField(help_text="Gets new tokens from /api/token/refresh/, once.")


class PasswordText(serializers.Serializer[Any]):
    """What `PairSerializer` reads, for the schema."""

    username = serializers.CharField(min_length=1)
    password = serializers.CharField(min_length=1)


class TokenText(serializers.Serializer[Any]):
    token = serializers.CharField(min_length=1, max_length=8192)


class OwnRefreshText(serializers.Serializer[Any]):
    """What `RefreshSerializer` reads, for the schema."""

    refresh = serializers.CharField(min_length=1)


class RefreshText(serializers.Serializer[Any]):
    refresh = serializers.CharField(min_length=1, max_length=8192, required=False)


class TicketAnswer(serializers.Serializer[Any]):
    ticket = serializers.CharField(help_text="Opens /live-price?ticket=..., once.")
    expires_in = serializers.IntegerField(help_text="Seconds until the ticket expires.")


class Empty(serializers.Serializer[Any]):
    pass


class TokenAPIView(APIView):
    """Base of the views that take credentials from the body."""

    authentication_classes = []
    permission_classes = [AllowAny]
    throttle_classes = [LoginThrottle]

    def get_authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'

    def _answer(self, serializer: Any) -> Response:
        try:
            serializer.is_valid(raise_exception=True)
        except TokenError as error:
            raise AuthenticationFailed(str(error)) from error
        except BadCredentials as error:
            raise AuthenticationFailed(str(error)) from error
        response = Response(serializer.validated_data)
        response["Cache-Control"] = "no-store"
        return response


class TokenView(TokenAPIView):
    @extend_schema(
        operation_id="token_create",
        request=PasswordText,
        responses={200: PairAnswer, 401: REFUSED, 429: BUSY},
    )
    def post(self, request: Request) -> Response:
        """Log in: return an access and a refresh token for a user name and password."""
        return self._answer(
            PairSerializer(data=request.data, context={"request": request._request})
        )


class RefreshView(TokenAPIView):
    @extend_schema(
        operation_id="token_refresh",
        request=OwnRefreshText,
        responses={200: PairAnswer, 401: REFUSED, 429: BUSY},
    )
    def post(self, request: Request) -> Response:
        """Return new tokens for a refresh token, which can be used only once."""
        return self._answer(RefreshSerializer(data=request.data))


class VerifyView(TokenAPIView):
    @extend_schema(
        operation_id="token_verify",
        request=TokenText,
        responses={200: Empty, 401: REFUSED, 429: BUSY},
    )
    def post(self, request: Request) -> Response:
        """Check a token of this server or of the outside issuer: 200 if it is valid."""
        body = TokenText(data=request.data)
        body.is_valid(raise_exception=True)
        try:
            _check_token(body.validated_data["token"])
        except (BadCredentials, TokenError) as error:
            raise AuthenticationFailed(str(error)) from error
        except AccessDown as error:
            raise Unavailable from error
        return Response({})


def _check_token(token: str) -> None:
    try:
        identity = verify(token)
    except BadCredentials as error:
        if str(error) != "not an access token":
            raise
        own_claims(token, kind="refresh")
        LoginRefreshToken.read(token).check_account()
        return
    read_accounts([identity.user], [identity.login]).check(identity)


class LogoutView(TokenAPIView):
    authentication_classes = AUTHENTICATION
    throttle_classes = [LoginThrottle]

    @extend_schema(
        operation_id="logout",
        request=RefreshText,
        responses={204: None, 401: REFUSED, 429: BUSY},
    )
    def post(self, request: Request) -> Response:
        """Log out: end the log-in of the access token, or of the refresh token in the body.

        All tokens of the log-in become invalid, and its sockets are closed.
        """
        body = RefreshText(data=request.data)
        body.is_valid(raise_exception=True)
        refresh = body.validated_data.get("refresh", "")
        if refresh:
            try:
                LoginRefreshToken.read(refresh).end_login()
            except TokenError as error:
                raise AuthenticationFailed(str(error)) from error
        elif isinstance(request.auth, Identity) and request.auth.login:
            login_end(
                login=request.auth.login,
                user_id=request.user.pk,
                why="logged out",
                expires=request.auth.expires,
            )
        else:
            raise NotAuthenticated(
                "nothing to log out: send an access token, or a refresh token in the body"
            )
        return Response(status=204)


class TicketView(APIView):
    permission_classes = [IsAuthenticated]

    @extend_schema(
        operation_id="ws_ticket",
        request=None,
        responses={
            200: OpenApiResponse(
                TicketAnswer,
                "The ticket.",
                [OpenApiExample("a ticket", value={"ticket": "yq3...", "expires_in": 30})],
            ),
            401: REFUSED,
        },
    )
    def post(self, request: Request) -> Response:
        """Return a ticket that opens one WebSocket as the caller within 30 seconds."""
        if isinstance(request.auth, ApiKey) and not may_read(request.auth):
            self.permission_denied(request, "the scope of the API key does not include reading")
        try:
            with request_client() as client:
                ticket = ticket_issue(identity=_identity_of(request), client=client)
        except RedisError as error:
            raise Unavailable("tickets cannot be stored at the moment, try again") from error
        response = Response({"ticket": ticket, "expires_in": TICKET_S})
        response["Cache-Control"] = "no-store"
        return response


def _identity_of(request: Any) -> Identity:
    """Return the identity for a ticket: the token's, or for as long as a new token would last.

    With an API key it ends when the key does.
    """
    if isinstance(request.auth, Identity):
        return request.auth
    if isinstance(request.auth, ApiKey):
        return identity_of_key(request.auth)
    expires = time.time() + conf.access_token_s
    login = session_login(getattr(request._request, "session", None))
    return Identity(request.user.pk, login, stamp_of(request.user), expires)
