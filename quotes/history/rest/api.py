"""Views: candles and ticks of one instrument, and candles of many."""

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
from quotes.access.rest.url_keys import (
    URL_AUTHENTICATION,
    URL_PERMISSIONS,
    URL_THROTTLES,
    keep_private,
)
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
    CandlesParameters,
    HistoryParameters,
    HistoryRequest,
    ManyCandlesParameters,
    parse_request,
    span_texts,
)

_Rows = list[Any]
_T = TypeVar("_T")


class HistoryUnavailable(APIException):
    """Responds with 503 and Retry-After."""

    status_code = 503
    default_detail = "the history database does not answer: try again in a moment"
    wait = 2  # DRF makes it the Retry-After header


class HistoryView(APIView):
    """Sends rows of history in the negotiated format."""

    renderer_classes = RENDERERS
    content_negotiation_class = HistoryNegotiation
    many = False

    def handle_exception(self, exc: Exception) -> Response:
        if isinstance(exc, QuotesError):
            return Response({"code": exc.code, "message": str(exc)}, status=exc.code)
        if isinstance(exc, DatabaseError):
            exc = HistoryUnavailable()
        return super().handle_exception(exc)

    def finalize_response(
        self, request: Request, response: HttpResponseBase, *args: Any, **kwargs: Any
    ) -> Any:
        if isinstance(response, Response):  # an error, which is always JSON
            request.accepted_renderer = ExactJSONRenderer()
            request.accepted_media_type = ExactJSONRenderer.media_type
        keep_private(response)
        return super().finalize_response(request, cast(Response, response), *args, **kwargs)

    def _respond(self, request: Request, wanted: HistoryRequest) -> HttpResponseBase:
        """Return a page, or all rows as a stream."""
        kind = format_of(request)
        if kind not in (JSON, CSV):
            require_pyarrow()
        next_page = None
        hints: dict[str, Any] = {}
        if wanted.limit is None:
            batches = _prefetch_first(read_batches(wanted.query))
        else:
            rows = read_rows(wanted.query, limit=wanted.limit + 1)
            if len(rows) > wanted.limit:
                del rows[wanted.limit :]
                next_page = _next_page(request, wanted, rows[-1])
            batches = iter([rows])
            if wanted.query.after is None and next_page is None:
                hints = self._hints(wanted, rows)
        pieces = self._body(kind, wanted, batches, next_page, hints)
        response = (
            stream(request, _prefetch_first(pieces))
            if wanted.limit is None
            else page(request, b"".join(pieces))
        )
        if next_page:
            response["Link"] = f'<{next_page}>; rel="next"'
        if kind != JSON:
            name = "ticks" if wanted.query.interval is None else wanted.query.interval.label
            response["Content-Disposition"] = f'attachment; filename="{name}.{kind}"'
        return response

    def _hints(self, wanted: HistoryRequest, rows: _Rows) -> dict[str, Any]:
        """Return what to say of names that nobody has, and that have no history in the range."""
        if not wanted.unknown:
            return {}
        found = {row.key for row in rows}
        items = [item for key, item in wanted.unknown.items() if key not in found]
        if not items:
            return {}
        one = {"suggestions": items[0]["suggestions"]}
        return {"known": False, **({"unknown": items} if self.many else one)}

    def _body(
        self,
        kind: str,
        wanted: HistoryRequest,
        batches: Iterator[_Rows],
        next_page: str | None,
        hints: dict[str, Any],
    ) -> Iterator[bytes]:
        """Return the body in pieces; `hints` are keys of JSON in front of the rows."""
        if kind == CSV:
            return csv_text(batches, ticks=wanted.ticks, times=wanted.times)
        if kind != JSON:
            write = arrow_stream if kind == ARROW else parquet_file
            return write(batches, ticks=wanted.ticks)
        encode = encoder_of(ticks=wanted.ticks, rows=wanted.rows, times=wanted.times)
        interval = wanted.query.interval
        head: dict[str, Any] = {"interval": interval.label} if interval else {}
        if not self.many:
            head = {"instrument": str(wanted.query.keys[0]), **head}
        head |= hints
        write_json = lists_by_instrument if self.many else one_list
        name = "candles" if interval else "ticks"
        return _with_ending(write_json(batches, encode, head=head, name=name), next_page)


class CandlesView(HistoryView):
    authentication_classes = URL_AUTHENTICATION
    permission_classes = URL_PERMISSIONS
    throttle_classes = URL_THROTTLES

    @extend_schema(
        operation_id="candles_list",
        parameters=[schema.KEY, CandlesParameters, *schema.HEADERS],
        responses=schema.CANDLES_RESPONSES,
    )
    def get(self, request: Request, key: str) -> HttpResponseBase:
        """Return the candles of an instrument that start in a range."""
        return self._respond(request, parse_request(request, CandlesParameters, [key]))


class TicksView(HistoryView):
    @extend_schema(
        operation_id="ticks_list",
        parameters=[schema.KEY, HistoryParameters, *schema.HEADERS],
        responses=schema.TICKS_RESPONSES,
    )
    def get(self, request: Request, key: str) -> HttpResponseBase:
        """Return the ticks of an instrument in a range, including late ticks."""
        return self._respond(request, parse_request(request, HistoryParameters, [key]))


class ManyCandlesView(HistoryView):
    authentication_classes = URL_AUTHENTICATION
    permission_classes = URL_PERMISSIONS
    throttle_classes = URL_THROTTLES
    many = True

    @extend_schema(
        operation_id="candles_list_many",
        parameters=[ManyCandlesParameters, *schema.HEADERS],
        responses=schema.MANY_RESPONSES,
    )
    def get(self, request: Request) -> HttpResponseBase:
        """Return the candles of many instruments that start in a range."""
        return self._respond(request, parse_request(request, ManyCandlesParameters))


def _prefetch_first(parts: Iterator[_T]) -> Iterator[_T]:
    """Make the first part now, so that an error of it is still sent as an error."""
    return chain(list(islice(parts, 1)), parts)


def _with_ending(pieces: Iterator[bytes], next_page: str | None) -> Iterator[bytes]:
    yield from pieces
    yield ending(next_page)


def _next_page(request: Request, wanted: HistoryRequest, last: Any) -> str:
    """Return the address of the page after a row, with the same range."""
    address = request.build_absolute_uri()
    for name, text in span_texts(wanted.query.span).items():
        address = replace_query_param(address, name, text)
    cursor = encode_cursor(wanted.query.position_of(last))
    return replace_query_param(address, "cursor", cursor)
