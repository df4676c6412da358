"""REST of access: tokens, log-out, and tickets for sockets."""

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
from quotes.access.credentials.api_keys import may_read
from quotes.access.credentials.logins import LoginRefreshToken
from quotes.access.credentials.tickets import TICKET_S, ticket_issue
from quotes.access.credentials.tokens import own_claims, verify
from quotes.access.errors import AccessDown, BadCredentials
from quotes.access.models import ApiKey
from quotes.access.rest.authentication import AUTHENTICATION, Unavailable
from quotes.access.rest.throttling import LoginThrottle
from quotes.access.selectors import read_accounts, stamp_of
from quotes.conf import conf
from quotes.store.clients import sync_client

REFUSED = OpenApiResponse(ApiErrorSerializer, "Not good, or good no more; the text says why.")
BUSY = OpenApiResponse(ApiErrorSerializer, "Too many requests; Retry-After says when.")


class PairSerializer(TokenObtainPairSerializer):
    token_class = LoginRefreshToken


class RefreshSerializer(TokenRefreshSerializer):
    token_class = LoginRefreshToken

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        LoginRefreshToken.read(attrs["refresh"]).check_account()
        return dict(super().validate(attrs))


class PairAnswer(serializers.Serializer[Any]):
    access = serializers.CharField(help_text="For requests and sockets; minutes.")
    refresh = serializers.CharField(help_text="For /api/token/refresh/; good once.")


class TokenText(serializers.Serializer[Any]):
    token = serializers.CharField(max_length=8192)


class RefreshText(serializers.Serializer[Any]):
    refresh = serializers.CharField(max_length=8192, required=False)


class TicketAnswer(serializers.Serializer[Any]):
    ticket = serializers.CharField(help_text="For ?ticket= of /live-price; good once.")
    expires_in = serializers.IntegerField(help_text="Seconds.")


class Empty(serializers.Serializer[Any]):
    pass


class TokenDoor(APIView):
    """What every view shares that takes a credential out of the body."""

    authentication_classes = []
    permission_classes = [AllowAny]
    throttle_classes = [LoginThrottle]

    def get_authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'

    def answer(self, serializer: Any) -> Response:
        try:
            serializer.is_valid(raise_exception=True)
        except TokenError as error:
            raise AuthenticationFailed(str(error)) from error
        except BadCredentials as error:
            raise AuthenticationFailed(str(error)) from error
        response = Response(serializer.validated_data)
        response["Cache-Control"] = "no-store"
        return response


class TokenView(TokenDoor):
    @extend_schema(
        operation_id="token_create",
        request=PairSerializer,
        responses={200: PairAnswer, 401: REFUSED, 429: BUSY},
    )
    def post(self, request: Request) -> Response:
        """Give an access and a refresh token for a user name and password."""
        return self.answer(PairSerializer(data=request.data, context={"request": request._request}))


class RefreshView(TokenDoor):
    @extend_schema(
        operation_id="token_refresh",
        request=TokenRefreshSerializer,
        responses={200: PairAnswer, 401: REFUSED, 429: BUSY},
    )
    def post(self, request: Request) -> Response:
        """Give new tokens for a refresh token, which is good no more afterwards."""
        return self.answer(RefreshSerializer(data=request.data))


class VerifyView(TokenDoor):
    @extend_schema(
        operation_id="token_verify",
        request=TokenText,
        responses={200: Empty, 401: REFUSED, 429: BUSY},
    )
    def post(self, request: Request) -> Response:
        """Answer 200 when an access or refresh token of this server, or a foreign one, is good."""
        body = TokenText(data=request.data)
        body.is_valid(raise_exception=True)
        try:
            check_token(body.validated_data["token"])
        except (BadCredentials, TokenError) as error:
            raise AuthenticationFailed(str(error)) from error
        except AccessDown as error:
            raise Unavailable from error
        return Response({})


def check_token(token: str) -> None:
    try:
        identity = verify(token)
    except BadCredentials as error:
        if str(error) != "not an access token":
            raise
        own_claims(token, kind="refresh")
        LoginRefreshToken.read(token).check_account()
        return
    read_accounts([identity.user], [identity.login]).check(identity)


class LogoutView(TokenDoor):
    authentication_classes = AUTHENTICATION
    throttle_classes = [LoginThrottle]

    @extend_schema(
        operation_id="logout",
        request=RefreshText,
        responses={204: None, 401: REFUSED, 429: BUSY},
    )
    def post(self, request: Request) -> Response:
        """End the log-in of the caller's token, or of the refresh token in the body.

        All of its tokens are good no more, and its sockets are closed.
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
            raise NotAuthenticated("nothing to end: no token of a log-in was sent")
        return Response(status=204)


class TicketView(APIView):
    permission_classes = [IsAuthenticated]

    @extend_schema(
        operation_id="ws_ticket",
        request=None,
        responses={
            200: OpenApiResponse(
                TicketAnswer,
                "A ticket.",
                [OpenApiExample("a ticket", value={"ticket": "yq3...", "expires_in": 30})],
            ),
            401: REFUSED,
        },
    )
    def post(self, request: Request) -> Response:
        """Give a one-time ticket that opens a WebSocket as the caller within 30 s."""
        if isinstance(request.auth, ApiKey) and not may_read(request.auth):
            self.permission_denied(request, "the key is not for reading")
        try:
            ticket = ticket_issue(identity=identity_of(request), client=sync_client())
        except RedisError as error:
            raise Unavailable("tickets cannot be kept for a moment, try again") from error
        response = Response({"ticket": ticket, "expires_in": TICKET_S})
        response["Cache-Control"] = "no-store"
        return response


def identity_of(request: Any) -> Identity:
    """Return whom a ticket is for: the token's bearer until its end, or the user of the session."""
    if isinstance(request.auth, Identity):
        return request.auth
    expires = time.time() + conf.access_token_s
    session = getattr(request._request, "session", None)
    login = "" if isinstance(request.auth, ApiKey) else session_login(session)
    return Identity(request.user.pk, login, stamp_of(request.user), expires)
