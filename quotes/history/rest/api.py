"""REST: candles and ticks of the past, by instrument and for many instruments at once."""

from collections.abc import Iterator
from itertools import chain, islice
from typing import Any, TypeVar, cast

from django.db import DatabaseError
from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param
from rest_framework.views import APIView

from instruments.renderers import ExactJSONRenderer
from quotes.errors import QuotesError
from quotes.history.formats.arrow import arrow_stream, parquet_file, require_pyarrow
from quotes.history.formats.csv_text import csv_text
from quotes.history.formats.json_text import (
    encoder_of,
    ending,
    lists_by_instrument,
    one_list,
)
from quotes.history.queries.batched import read_batches, read_rows
from quotes.history.queries.cursors import encode_cursor
from quotes.history.rest import schema
from quotes.history.rest.negotiation import (
    ARROW,
    CSV,
    JSON,
    RENDERERS,
    HistoryNegotiation,
    format_of,
    page,
    stream,
)
from quotes.history.rest.parameters import (
    Asked,
    CandlesQuery,
    HistoryQuery,
    ManyCandlesQuery,
    asked,
    span_texts,
)

Rows = list[Any]
T = TypeVar("T")


class HistoryAway(APIException):
    """Answers 503; a client may try again after a moment."""

    status_code = 503
    default_detail = "history is not to be had for a moment, try again"
    wait = 2  # DRF makes it the Retry-After header


class HistoryView(APIView):
    """Answers questions about history in the format that was negotiated."""

    renderer_classes = RENDERERS
    content_negotiation_class = HistoryNegotiation
    many = False

    def handle_exception(self, exc: Exception) -> Response:
        if isinstance(exc, QuotesError):
            return Response({"code": exc.code, "message": str(exc)}, status=exc.code)
        if isinstance(exc, DatabaseError):
            exc = HistoryAway()
        return super().handle_exception(exc)

    def finalize_response(
        self, request: Request, response: HttpResponseBase, *args: Any, **kwargs: Any
    ) -> Any:
        if isinstance(response, Response):  # an error, which is JSON whatever was asked for
            request.accepted_renderer = ExactJSONRenderer()
            request.accepted_media_type = ExactJSONRenderer.media_type
        return super().finalize_response(request, cast(Response, response), *args, **kwargs)

    def answer(self, request: Request, found: Asked) -> HttpResponseBase:
        """Answer with a page, or all rows as a stream."""
        kind = format_of(request)
        if kind not in (JSON, CSV):
            require_pyarrow()
        following = None
        if found.limit is None:
            batches = begun(read_batches(found.question))
        else:
            rows = read_rows(found.question, limit=found.limit + 1)
            if len(rows) > found.limit:
                del rows[found.limit :]
                following = next_page(request, found, rows[-1])
            batches = iter([rows])
        pieces = self.pieces(kind, found, batches, following)
        response = (
            stream(request, begun(pieces))
            if found.limit is None
            else page(request, b"".join(pieces))
        )
        if following:
            response["Link"] = f'<{following}>; rel="next"'
        if kind != JSON:
            name = "ticks" if found.question.interval is None else found.question.interval.label
            response["Content-Disposition"] = f'attachment; filename="{name}.{kind}"'
        return response

    def pieces(
        self, kind: str, found: Asked, batches: Iterator[Rows], following: str | None
    ) -> Iterator[bytes]:
        """Return the body in pieces."""
        if kind == CSV:
            return csv_text(batches, ticks=found.ticks, times=found.times)
        if kind != JSON:
            write = arrow_stream if kind == ARROW else parquet_file
            return write(batches, ticks=found.ticks)
        encode = encoder_of(ticks=found.ticks, rows=found.rows, times=found.times)
        interval = found.question.interval
        head = {"interval": interval.label} if interval else {}
        if not self.many:
            head = {"instrument": str(found.question.keys[0]), **head}
        write_json = lists_by_instrument if self.many else one_list
        name = "candles" if interval else "ticks"
        return with_ending(write_json(batches, encode, head=head, name=name), following)


class CandlesView(HistoryView):
    @extend_schema(
        operation_id="candles_list",
        parameters=[schema.KEY, CandlesQuery],
        responses={200: schema.CANDLES_ANSWER, **schema.ERRORS},
    )
    def get(self, request: Request, key: str) -> HttpResponseBase:
        """Return the candles of an instrument that start in a range."""
        return self.answer(request, asked(request, CandlesQuery, [key]))


class TicksView(HistoryView):
    @extend_schema(
        operation_id="ticks_list",
        parameters=[schema.KEY, HistoryQuery],
        responses={200: schema.TICKS_ANSWER, **schema.ERRORS},
    )
    def get(self, request: Request, key: str) -> HttpResponseBase:
        """Return the ticks of an instrument in a range, late ones too."""
        return self.answer(request, asked(request, HistoryQuery, [key]))


class ManyCandlesView(HistoryView):
    many = True

    @extend_schema(
        operation_id="candles_list_many",
        parameters=[ManyCandlesQuery],
        responses={200: schema.MANY_ANSWER, **schema.ERRORS},
    )
    def get(self, request: Request) -> HttpResponseBase:
        """Return the candles of many instruments that start in a range."""
        return self.answer(request, asked(request, ManyCandlesQuery))


def begun(parts: Iterator[T]) -> Iterator[T]:
    """Return the same, the first of them made already: what fails does so while it can be said."""
    return chain(list(islice(parts, 1)), parts)


def with_ending(pieces: Iterator[bytes], following: str | None) -> Iterator[bytes]:
    yield from pieces
    yield ending(following)


def next_page(request: Request, found: Asked, last: Any) -> str:
    """Return the address of the page that begins behind a row, of the same range."""
    address = request.build_absolute_uri()
    for name, text in span_texts(found.question.span).items():
        address = replace_query_param(address, name, text)
    cursor = encode_cursor(found.question.place_of(last))
    return replace_query_param(address, "cursor", cursor)
