"""Shared by all REST views: fields of exact numbers, and errors of one shape.

{"code": 404, "message": "not in the instrument master, got 'NOPE'"}
"""

from collections.abc import Collection, Iterator, Mapping
from decimal import Decimal
from typing import Any

from django.http import HttpRequest, JsonResponse
from django.utils.datastructures import MultiValueDict
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiResponse,
    extend_schema_field,
    extend_schema_serializer,
)
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.response import Response
from rest_framework.views import exception_handler

from instruments.errors import InstrumentsError


@extend_schema_field(OpenApiTypes.NUMBER)
class ExactNumberField(serializers.Field[Any, Any, Any, Any]):
    """A Decimal, with its digits."""

    def to_representation(self, value: Decimal) -> Decimal:
        return value


class ColumnNumberField(ExactNumberField):
    """A Decimal of the database, without the zeros that pad it to the scale of its column."""

    def to_representation(self, value: Decimal) -> Decimal:
        return Decimal(f"{value.normalize():f}")


@extend_schema_serializer(component_name="Error")
class ApiErrorSerializer(serializers.Serializer[Any]):
    """Why a request was not carried out."""

    code = serializers.IntegerField(help_text="The HTTP status.")
    message = serializers.CharField(help_text="What is wrong, for people. Programs use the code.")
    known = serializers.BooleanField(
        required=False, help_text="False if no instrument or price has the name; else absent."
    )
    suggestions = serializers.ListField(
        child=serializers.CharField(),
        required=False,
        help_text="Up to three instruments that an unknown name may be meant for.",
    )


class UnknownNameSerializer(serializers.Serializer[Any]):
    """A name that no instrument and no publisher has."""

    symbol = serializers.CharField()
    suggestions = serializers.ListField(
        child=serializers.CharField(),
        help_text="Keys of up to three instruments that it may be meant for.",
    )


def error_response(description: str, code: int, message: str) -> OpenApiResponse:
    """Return the documentation of an error, with an example of it."""
    example = OpenApiExample(
        f"{code}", value={"code": code, "message": message}, response_only=True
    )
    return OpenApiResponse(ApiErrorSerializer, description, [example])


def query_values(query: "MultiValueDict[str, str]", lists: Collection[str] = ()) -> dict[str, str]:
    """Return the value of each parameter in the query of a URL; no value is dropped.

    Args:
        lists: parameters with comma-separated values, which may be repeated: `?a=1,2` and
            `?a=1&a=2` mean the same.

    Raises:
        ValidationError: another parameter is repeated.
    """
    repeated = [name for name, found in query.lists() if len(found) > 1 and name not in lists]
    if repeated:
        raise ValidationError(dict.fromkeys(repeated, "must not be repeated"))
    return {name: ",".join(map(str, found)) for name, found in query.lists()}


def answer_error(error: Exception, context: dict[str, Any]) -> Response | None:
    """Answer an exception of a view as `{"code", "message"}`; DRF's EXCEPTION_HANDLER."""
    if isinstance(error, InstrumentsError):
        return Response(
            {"code": error.code, "message": str(error), **name_hints(error)}, status=error.code
        )
    response = exception_handler(error, context)
    if response is not None:
        message = "; ".join(sentences(response.data)) or str(response.reason_phrase)
        response.data = {"code": response.status_code, "message": message, **name_hints(error)}
    return response


def name_hints(error: Exception) -> dict[str, Any]:
    """Return what an error's answer says of a name that nobody has, {} if it is of no name."""
    suggestions = getattr(error, "suggestions", None)
    return {} if suggestions is None else {"known": False, "suggestions": list(suggestions)}


def sentences(detail: Any, name: str = "") -> Iterator[str]:
    """Yield the texts of DRF's nested error details, each after the field that it is about."""
    if isinstance(detail, Mapping):
        for field, inner in detail.items():
            yield from sentences(inner, "" if field in ("detail", "non_field_errors") else field)
    elif isinstance(detail, list | tuple):
        for inner in detail:
            yield from sentences(inner, name)
    else:
        text = str(detail).rstrip(".")
        if not text[1:2].isupper():  # as in "JSON parse error"
            text = text[:1].lower() + text[1:]
        gap = " " if text.startswith("must ") else ": "
        yield f"{name}{gap}{text}" if name else text


def json_error(code: int, message: str) -> JsonResponse:
    """Return an error of the same shape, for views outside of DRF."""
    return JsonResponse({"code": code, "message": message}, status=code)


def is_api(request: HttpRequest) -> bool:
    """Tell whether a request is of the API, whose errors are JSON."""
    return request.path.startswith("/api/")
