"""What every answer of Kite's REST shapes has around it, and the base of their views.

    {"status":"success","data":...}
    {"status":"error","message":"...","data":null,"error_type":"InputException"}

The clients raise the exception that `error_type` names. All of Kite's are answered by the
exceptions of DRF, Django and this project: the views raise them as other views do.
"""

import logging
import math
from typing import Any, cast

from django.core.exceptions import SuspiciousOperation
from django.db import DatabaseError
from django.http import Http404, HttpResponse
from django.middleware.gzip import GZipMiddleware
from rest_framework.exceptions import (
    APIException,
    AuthenticationFailed,
    NotAuthenticated,
    PermissionDenied,
    Throttled,
)
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from instruments.errors import InstrumentsError
from instruments.renderers import ENCODER
from instruments.rest import sentences
from quotes.access.rest.authentication import AUTHENTICATION
from quotes.errors import QuotesError
from quotes.kite.rest.authentication import KiteAuthentication
from quotes.rest.negotiation import OneFormat
from quotes.runtime.redaction import scrub

logger = logging.getLogger(__name__)

TOKEN, PERMISSION, INPUT = "TokenException", "PermissionException", "InputException"
NETWORK, GENERAL = "NetworkException", "GeneralException"
_RETRY_AFTER_S = 2


class KiteView(APIView):
    """A view of Kite's REST shapes: errors are in Kite's envelope.

    Kite's own header is accepted, and those of the rest of this server. The shapes are documented
    by Kite, so the OpenAPI schema leaves them out.
    """

    authentication_classes = [KiteAuthentication, *AUTHENTICATION]
    content_negotiation_class = OneFormat
    schema = None

    def get_exception_handler(self) -> Any:
        return answer_error


def success(data: Any) -> HttpResponse:
    """Return an answer; numbers of type Decimal and Raw keep their digits."""
    return success_text(ENCODER.encode(data))


def success_text(data: bytes) -> HttpResponse:
    """Return an answer whose data is JSON already."""
    body = b'{"status":"success","data":%b}' % data
    response = HttpResponse(body, content_type="application/json")
    response["Cache-Control"] = "no-store"
    return response


def compressed(request: Request, response: HttpResponse) -> HttpResponse:
    """Return a long answer compressed, for clients that accept it; it must hold no secret."""
    compress = GZipMiddleware(lambda unused: response)
    return cast(HttpResponse, compress.process_response(request._request, response))


def answer_error(error: Exception, context: dict[str, Any]) -> Response:
    """Return an exception of a view in Kite's envelope; DRF's exception handler of these views."""
    headers = {}
    if isinstance(error, NotAuthenticated | AuthenticationFailed):
        status, kind = 403, TOKEN
        message = f"Incorrect `api_key` or `access_token`: {_text_of(error)}"
    elif isinstance(error, PermissionDenied):
        status, kind, message = 403, PERMISSION, _text_of(error)
    elif isinstance(error, Throttled):
        status, kind, message = 429, NETWORK, "Too many requests"
    elif isinstance(error, InstrumentsError | QuotesError):
        status, message = error.code, str(error)
        kind = _kind_of(status)
    elif isinstance(error, APIException):
        status, message = error.status_code, _text_of(error)
        kind = _kind_of(status)
    elif isinstance(error, SuspiciousOperation | Http404):
        status, kind, message = 400, INPUT, str(error)
    elif isinstance(error, DatabaseError):
        status, kind, message = 503, NETWORK, "the database does not answer, try again in a moment"
        headers["Retry-After"] = str(_RETRY_AFTER_S)
    else:
        logger.error("a request of a Kite client failed", exc_info=error)
        status, kind, message = 500, GENERAL, "internal error, see the log of the server"
    if (wait := getattr(error, "wait", None)) is not None:
        headers["Retry-After"] = str(math.ceil(wait))
    answer = {"status": "error", "message": scrub(message), "data": None, "error_type": kind}
    return Response(answer, status=status, headers=headers)


def _kind_of(status: int) -> str:
    if status in (502, 503):
        return NETWORK
    return INPUT if 400 <= status < 500 else GENERAL


def _text_of(error: APIException) -> str:
    return "; ".join(sentences(error.detail))
