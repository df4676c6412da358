"""Views: the dump of all instruments, or of those of one exchange."""

from collections.abc import Iterator
from typing import Any, cast

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response, patch_vary_headers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from quotes.errors import quoted
from quotes.history.rest.negotiation import iterate_in_thread
from quotes.kite.rest.dump import Dump, dumps
from quotes.kite.rest.envelope import KiteView
from quotes.kite.rest.names import EXCHANGES

_CONTENT_TYPE = "text/csv; charset=utf-8"
_FORM = 1  # of the CSV; part of the ETag


class InstrumentsView(KiteView):
    """CSV, compressed for clients that take it; 304 for a client that has it already."""

    def get(self, request: Request, exchange: str = "") -> HttpResponseBase:
        if exchange and exchange not in EXCHANGES:
            raise ValidationError(
                f"exchange must be one of {', '.join(EXCHANGES)}, got {quoted(exchange)}"
            )
        dump = dumps.find(exchange)
        response = _response(request._request, dump)
        etag = f'W/"{_FORM}-{exchange or "all"}-{dump.version}"'
        response["ETag"] = etag
        response["Cache-Control"] = "private, no-cache"
        patch_vary_headers(response, ["Accept-Encoding"])
        found = get_conditional_response(request._request, etag=etag, response=cast(Any, response))
        return cast(HttpResponseBase, found)


def _response(request: HttpRequest, dump: Dump) -> HttpResponseBase:
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        response = HttpResponse(dump.compressed, content_type=_CONTENT_TYPE)
        response["Content-Encoding"] = "gzip"
        return response
    pieces: Iterator[bytes] = iter(()) if request.method == "HEAD" else dump.pieces()
    content: Any = pieces
    if isinstance(request, ASGIRequest):
        content = iterate_in_thread(pieces)
    return StreamingHttpResponse(content, content_type=_CONTENT_TYPE)
