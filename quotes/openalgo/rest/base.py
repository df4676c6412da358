"""What all views of OpenAlgo's REST API share: the caller, the body's checks, and its errors.

{"status": "success", "data": ...}
{"status": "error", "message": "..."}          of a bad body {"field": ["..."]}
"""

import logging
from collections.abc import Sequence
from typing import Any

from django.db import DatabaseError
from django.http import HttpResponse
from rest_framework import serializers
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import (
    AuthenticationFailed,
    NotAuthenticated,
    Throttled,
    ValidationError,
)
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView, exception_handler, set_rollback

from instruments.errors import InstrumentsError
from instruments.parsers import BoundedJSONParser
from instruments.rest import sentences
from quotes.errors import QuotesError
from quotes.history.rest.api import HistoryUnavailable
from quotes.openalgo.rest.authentication import OpenAlgoAuthentication
from quotes.openalgo.symbols import SEGMENTS
from quotes.rest.negotiation import OneFormat

logger = logging.getLogger(__name__)

_EXCHANGES = ", ".join(SEGMENTS)


class InstrumentBody(serializers.Serializer[Any]):
    """One instrument."""

    symbol = serializers.CharField()
    exchange = serializers.ChoiceField(
        list(SEGMENTS), error_messages={"invalid_choice": f"Must be one of: {_EXCHANGES}."}
    )


class OpenAlgoView(APIView):
    """Answers in OpenAlgo's envelope, whatever happens; it is in no OpenAPI schema of ours."""

    schema = None
    authentication_classes: Sequence[type[BaseAuthentication]] = (OpenAlgoAuthentication,)
    parser_classes = (BoundedJSONParser,)
    # `format` in a query is a parameter of the view.
    content_negotiation_class = OneFormat
    body: type[serializers.Serializer[Any]] = serializers.Serializer

    def checked(self, values: Any) -> dict[str, Any]:
        """Return the checked values of a body or a query; raise ValidationError."""
        body = self.body(data=values)
        body.is_valid(raise_exception=True)
        return dict(body.validated_data)

    def handle_exception(self, exc: Exception) -> Response:
        if isinstance(exc, InstrumentsError | QuotesError):
            return failure(str(exc), exc.code)
        if isinstance(exc, DatabaseError):
            exc = HistoryUnavailable()
        response = exception_handler(exc, self.get_exception_handler_context())
        if response is None:
            set_rollback()
            logger.error("could not answer %s", self.request.path, exc_info=exc)
            return failure("internal error, see the log of the server", 500)
        message: Any = "; ".join(sentences(response.data))
        if isinstance(exc, ValidationError) and isinstance(response.data, dict):
            message = response.data
        more = (
            {"retry_after": round(getattr(exc, "wait", None) or 0)}
            if isinstance(exc, Throttled)
            else {}
        )
        response.data = {"status": "error", "message": message, **more}
        if isinstance(exc, AuthenticationFailed | NotAuthenticated):
            response.status_code = 403  # there is no header to authenticate by
        return response


class PostView(OpenAlgoView):
    """Answers a POST with a JSON body."""

    def post(self, request: Request) -> HttpResponse:
        return self.answer(request, self.checked(request.data))

    def answer(self, request: Request, terms: dict[str, Any]) -> HttpResponse:
        """Carry out a request whose body is valid."""
        raise NotImplementedError


def success(**values: Any) -> Response:
    """Return an answer with these values, which no cache may keep."""
    return Response({"status": "success", **values}, headers={"Cache-Control": "no-store"})


def failure(message: Any, status: int, **more: Any) -> Response:
    """Return an answer that says what is wrong."""
    return Response({"status": "error", "message": message, **more}, status=status)
