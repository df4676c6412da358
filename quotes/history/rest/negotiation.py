"""Which format a request for history is answered in, and what is sent as a page or as a stream.

By `Accept`, or `?format=` where a program cannot set it. Only these answers are compressed: they
hold prices and no secret that could be guessed from their length (BREACH).
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

from instruments.renderers import ExactJSONRenderer

JSON, CSV, ARROW, PARQUET = "json", "csv", "arrow", "parquet"
TEXTS = (JSON, CSV)


class CsvRenderer(ExactJSONRenderer):
    """Stands for CSV in the negotiation; what it renders itself are errors."""

    media_type = "text/csv"
    format = CSV


class ArrowRenderer(ExactJSONRenderer):
    """Stands for an Arrow IPC stream."""

    media_type = "application/vnd.apache.arrow.stream"
    format = ARROW


class ParquetRenderer(ExactJSONRenderer):
    """Stands for a Parquet file."""

    media_type = "application/vnd.apache.parquet"
    format = PARQUET


RENDERERS: list[type[BaseRenderer]] = [
    ExactJSONRenderer,
    CsvRenderer,
    ArrowRenderer,
    ParquetRenderer,
]


class HistoryNegotiation(DefaultContentNegotiation):
    """As DRF's; a `format` that there is not is a bad request, not a missing page."""

    def filter_renderers(self, renderers: Any, format: str) -> Any:
        try:
            return super().filter_renderers(renderers, format)
        except Http404:
            names = ", ".join(str(renderer.format) for renderer in renderers)
            raise ValidationError({"format": f"must be one of {names}"}) from None


def format_of(request: Request) -> str:
    """Return the format that was negotiated."""
    return str(cast(Any, request).accepted_renderer.format)


def page(request: Request, body: bytes) -> HttpResponse:
    """Answer with a whole page, or with 304 when the client has the same one."""
    response = HttpResponse(body, content_type=content_type(request))
    etag = quote_etag(hashlib.blake2b(body, digest_size=16).hexdigest())
    response["ETag"] = etag
    found = get_conditional_response(plain(request), etag=etag, response=response)
    return cast(HttpResponse, finished(request, found or response))


def stream(request: Request, pieces: Iterator[bytes]) -> HttpResponseBase:
    """Answer with pieces that are made while they are sent."""
    content: Any = pieces
    if isinstance(plain(request), ASGIRequest):
        content = made_in_thread(pieces)
    response = StreamingHttpResponse(content, content_type=content_type(request))
    return finished(request, response)


async def made_in_thread(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the pieces, each made in the request's thread when the one before was taken."""
    following = sync_to_async(partial(next, pieces, None))
    while (piece := await following()) is not None:
        yield piece


def finished(request: Request, response: HttpResponseBase) -> HttpResponseBase:
    """Give an answer its headers, and compress text."""
    # Late ticks and imports may change even what is long past.
    response["Cache-Control"] = "private, no-cache"
    if format_of(request) not in TEXTS:
        return response
    compress = GZipMiddleware(lambda unused: response)
    return compress.process_response(plain(request), cast(Any, response))


def content_type(request: Request) -> str:
    kind = str(cast(Any, request).accepted_renderer.media_type)
    return f"{kind}; charset=utf-8" if kind == CsvRenderer.media_type else kind


def plain(request: Request) -> HttpRequest:
    """Return Django's own request within DRF's."""
    inner: HttpRequest = request._request
    return inner
