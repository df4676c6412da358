"""Formats of history over HTTP, and responses as a page or as a stream.

The format comes from `Accept`, or from `?format=` for programs that cannot set headers. Only these
responses are compressed: they hold prices and no secret to guess from their length (BREACH).
"""

import hashlib
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any, cast

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware
from django.utils.cache import get_conditional_response
from django.utils.http import quote_etag
from rest_framework.exceptions import ValidationError
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from instruments.errors import quoted
from instruments.renderers import ExactJSONRenderer

JSON, CSV, ARROW, PARQUET = "json", "csv", "arrow", "parquet"
_TEXTS = (JSON, CSV)


class CsvRenderer(ExactJSONRenderer):
    """CSV in the negotiation; renders errors only, as JSON."""

    media_type = "text/csv"
    format = CSV


class ArrowRenderer(ExactJSONRenderer):
    """An Arrow IPC stream in the negotiation."""

    media_type = "application/vnd.apache.arrow.stream"
    format = ARROW


class ParquetRenderer(ExactJSONRenderer):
    """A Parquet file in the negotiation."""

    media_type = "application/vnd.apache.parquet"
    format = PARQUET


RENDERERS: list[type[BaseRenderer]] = [
    ExactJSONRenderer,
    CsvRenderer,
    ArrowRenderer,
    ParquetRenderer,
]


class HistoryNegotiation(DefaultContentNegotiation):
    """As DRF's, except that an unknown `format` is a bad request (400) instead of 404."""

    def filter_renderers(self, renderers: Any, format: str) -> Any:
        try:
            return super().filter_renderers(renderers, format)
        except Http404:
            names = ", ".join(str(renderer.format) for renderer in renderers)
            text = f"must be one of {names}, got {quoted(format)}"
            raise ValidationError({"format": text}) from None


def format_of(request: Request) -> str:
    """Return the negotiated format."""
    return str(cast(Any, request).accepted_renderer.format)


def page(request: Request, body: bytes) -> HttpResponse:
    """Return a whole page, or 304 if the client has the same page."""
    response = HttpResponse(body, content_type=_content_type(request))
    etag = quote_etag(hashlib.blake2b(body, digest_size=16).hexdigest())
    response["ETag"] = etag
    found = get_conditional_response(_django_request(request), etag=etag, response=response)
    return cast(HttpResponse, _finish(request, found or response))


def stream(request: Request, pieces: Iterator[bytes]) -> HttpResponseBase:
    """Return a response whose pieces are made while it is sent."""
    content: Any = pieces
    if isinstance(_django_request(request), ASGIRequest):
        content = iterate_in_thread(pieces)
    response = StreamingHttpResponse(content, content_type=_content_type(request))
    return _finish(request, response)


async def iterate_in_thread(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the pieces; make each in the request's thread once the previous one was taken."""
    following = sync_to_async(partial(next, pieces, None))
    while (piece := await following()) is not None:
        yield piece


def _finish(request: Request, response: HttpResponseBase) -> HttpResponseBase:
    """Set the headers of a response, and compress text."""
    # Late ticks and imports may change rows of any age.
    response["Cache-Control"] = "private, no-cache"
    if format_of(request) not in _TEXTS:
        return response
    compress = GZipMiddleware(lambda unused: response)
    return compress.process_response(_django_request(request), cast(Any, response))


def _content_type(request: Request) -> str:
    kind = str(cast(Any, request).accepted_renderer.media_type)
    return f"{kind}; charset=utf-8" if kind == CsvRenderer.media_type else kind


def _django_request(request: Request) -> HttpRequest:
    """Return Django's request within DRF's."""
    inner: HttpRequest = request._request
    return inner
