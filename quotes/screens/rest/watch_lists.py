"""REST endpoints of a user's watch lists."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from instruments.rest import ApiErrorSerializer, error_response, query_values
from quotes.access.rest.permissions import MayRead
from quotes.screens.errors import WatchListError
from quotes.screens.rest.serializers import (
    VersionQuery,
    WatchListAnswer,
    WatchListBody,
    WatchListChange,
    WatchListsAnswer,
)
from quotes.screens.watch_lists import (
    watch_list_change,
    watch_list_create,
    watch_list_delete,
    watch_list_get,
    watch_lists_of,
)

_EXAMPLE = {
    "id": 7,
    "name": "Banks",
    "symbols": ["HDFCBANK", "NSE_EQ:ICICIBANK", "NIFTY BANK"],
    "version": 3,
    "changed_at": "2026-11-27T09:15:00+05:30",
}
_ONE = OpenApiResponse(
    WatchListAnswer,
    "The watch list.",
    [OpenApiExample("a list", value=_EXAMPLE, response_only=True)],
)
_BAD = error_response("A value is not allowed.", 400, "name: this field is required")
_NOBODY = error_response("The caller must authenticate.", 401, "not authenticated")
_REFUSED = OpenApiResponse(ApiErrorSerializer, "The caller may not read prices.")
_UNKNOWN = error_response("The user has no such list.", 404, "no such watch list, got 7")
_TAKEN = error_response(
    "The user has a list of this name, or as many as one may.",
    409,
    "a user may have at most 20 watch lists",
)
_CONFLICT = error_response(
    "The list is of another version by now, or the user has another list of this name.",
    409,
    "the watch list was changed meanwhile and is version 3 now, got 2",
)
_OTHERS = {401: _NOBODY, 403: _REFUSED}


def _explained(view: Callable[..., Response]) -> Callable[..., Response]:
    """Answer errors of watch lists as errors of the API."""

    @wraps(view)
    def explained(*arguments: Any, **keywords: Any) -> Response:
        try:
            response = view(*arguments, **keywords)
        except WatchListError as error:
            response = Response({"code": error.code, "message": str(error)}, status=error.code)
        response["Cache-Control"] = "no-store"
        return response

    return explained


class WatchListsView(APIView):
    permission_classes = [IsAuthenticated, MayRead]

    @extend_schema(
        operation_id="watch_lists_list",
        responses={
            200: OpenApiResponse(
                WatchListsAnswer,
                "The watch lists.",
                [OpenApiExample("one", value={"lists": [_EXAMPLE]}, response_only=True)],
            ),
            **_OTHERS,
        },
    )
    @_explained
    def get(self, request: Request) -> Response:
        """Return the caller's watch lists."""
        return Response(WatchListsAnswer({"lists": watch_lists_of(user=request.user)}).data)

    @extend_schema(
        operation_id="watch_lists_create",
        request=WatchListBody,
        responses={201: _ONE, 400: _BAD, 409: _TAKEN, **_OTHERS},
    )
    @_explained
    def post(self, request: Request) -> Response:
        """Create a watch list."""
        body = WatchListBody(data=request.data)
        body.is_valid(raise_exception=True)
        created = watch_list_create(user=request.user, **body.validated_data)
        return Response(WatchListAnswer(created).data, status=201)


class WatchListView(APIView):
    permission_classes = [IsAuthenticated, MayRead]

    @extend_schema(
        operation_id="watch_lists_retrieve", responses={200: _ONE, 404: _UNKNOWN, **_OTHERS}
    )
    @_explained
    def get(self, request: Request, pk: int) -> Response:
        """Return one of the caller's watch lists."""
        return Response(WatchListAnswer(watch_list_get(user=request.user, pk=pk)).data)

    @extend_schema(
        operation_id="watch_lists_update",
        request=WatchListChange,
        responses={200: _ONE, 400: _BAD, 404: _UNKNOWN, 409: _CONFLICT, **_OTHERS},
    )
    @_explained
    def put(self, request: Request, pk: int) -> Response:
        """Replace the name and symbols of a watch list, unless it was changed meanwhile."""
        body = WatchListChange(data=request.data)
        body.is_valid(raise_exception=True)
        changed = watch_list_change(user=request.user, pk=pk, **body.validated_data)
        return Response(WatchListAnswer(changed).data)

    @extend_schema(
        operation_id="watch_lists_destroy",
        parameters=[VersionQuery],
        responses={204: None, 400: _BAD, 404: _UNKNOWN, 409: _CONFLICT, **_OTHERS},
    )
    @_explained
    def delete(self, request: Request, pk: int) -> Response:
        """Delete a watch list."""
        query = VersionQuery(data=query_values(request.query_params))
        query.is_valid(raise_exception=True)
        watch_list_delete(user=request.user, pk=pk, **query.validated_data)
        return Response(status=204)
