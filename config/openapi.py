"""The OpenAPI document of REST: what every operation has in common, beside what its view says.

Views describe their parameters, answers and own errors. Errors that come from what is around a
view (credentials, formats, sizes, limits) are added here, and tags, and the schemas of rows.
"""

from typing import Any

from drf_spectacular.openapi import AutoSchema

from quotes.access.rest.permissions import MayRead
from quotes.conf import conf
from quotes.history.rest import schema as history_schema
from quotes.rest.negotiation import OneFormat
from quotes.tick_schema import SCHEMAS, TICK, reference

Operation = dict[str, Any]

# Where a view is -> the group that it is shown in.
TAGS = {
    "quotes.rest": "prices",
    "quotes.history": "history",
    "instruments": "instruments",
    "quotes.access": "access",
    "quotes.screens": "watch lists",
}
_OTHERS = "others"
TAG_TEXTS = {
    "prices": "The latest prices, and publishing.",
    "history": "Recorded ticks and candles.",
    "instruments": "The instrument master, option chains, and hours of the markets.",
    "access": "Tokens, log-out, and tickets for sockets.",
    "watch lists": "The lists of symbols that a user keeps for the dashboard.",
}
_BAD_REQUEST = (
    "A parameter, or the body, is not valid.",
    "no such parameter",
)
_UNAUTHENTICATED = (
    "The caller must authenticate, or the credentials are not valid.",
    "not a valid token",
)
_FORBIDDEN = ("The caller may not do this.", "not entitled to NFO")
_NOT_ALLOWED = (
    "The address does not support the method; Allow names those that it does.",
    'method "PUT" not allowed',
)
_NOT_ACCEPTABLE = (
    "The answer has none of the formats that the request accepts.",
    "could not satisfy the request Accept header",
)
_TOO_LARGE = ("The body is too large.", "a request may have at most 2500000 bytes")
_UNSUPPORTED = (
    "The body is of another type than those that are documented.",
    'unsupported media type "text/plain" in request',
)
_TOO_MANY = (
    "Too many requests.",
    "request was throttled. Expected available in 12 seconds",
)
_UNAVAILABLE = (
    "Redis or a database does not answer in time; the message names it.",
    "users cannot be looked up at the moment, try again",
)
# Status -> headers of the answer.
_HEADERS: dict[str, dict[str, Any]] = {
    "401": {
        "WWW-Authenticate": {
            "description": "How to authenticate.",
            "required": True,
            "schema": {"type": "string"},
        }
    },
    "405": {
        "Allow": {
            "description": "The methods of the address.",
            "required": True,
            "schema": {"type": "string"},
        }
    },
}
_RETRY_AFTER = {
    "Retry-After": {
        "description": "Seconds after which to try again.",
        "required": True,
        "schema": {"type": "integer", "minimum": 0},
    }
}
_HEADERS |= dict.fromkeys(("429", "503"), _RETRY_AFTER)


class OperationSchema(AutoSchema):
    """Describes an operation: DRF's DEFAULT_SCHEMA_CLASS."""

    def get_tags(self) -> list[str]:
        module = type(self.view).__module__
        return [next((tag for root, tag in TAGS.items() if module.startswith(root)), _OTHERS)]

    def get_summary(self) -> str:
        return (super().get_description() or "").partition("\n")[0].removesuffix(".")

    def get_auth(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = super().get_auth()
        permissions = self.view.get_permissions()
        if conf.auth == "optional" and any(isinstance(one, MayRead) for one in permissions):
            found.append({})
        return found

    def get_operation(self, *args: Any) -> Operation | None:
        operation: Operation | None = super().get_operation(*args)
        if operation is None:
            return None
        _describe_parameters(operation, self._examples())
        if "requestBody" in operation and isinstance(self.get_request_serializer(), dict):
            operation["requestBody"]["required"] = True
        responses = operation["responses"]
        for status, (description, message) in self._errors(operation).items():
            responses.setdefault(status, self._error(status, description, message))
        for status, headers in _HEADERS.items():
            if status in responses:
                responses[status].setdefault("headers", {}).update(headers)
        operation["responses"] = dict(sorted(responses.items()))
        return operation

    @property
    def _is_of_text(self) -> bool:
        """Whether errors of the view are lines of text."""
        return issubclass(self.view.content_negotiation_class, OneFormat)

    def _get_response_for_code(
        self, serializer: Any, status_code: Any, media_types: Any = None, *args: Any, **kwargs: Any
    ) -> dict[str, Any]:
        if str(status_code) >= "400" and not media_types:
            media_types = ["application/json"]
        found: dict[str, Any] = super()._get_response_for_code(  # type: ignore[no-untyped-call]
            serializer, status_code, media_types, *args, **kwargs
        )
        return found

    def _errors(self, operation: Operation) -> dict[str, tuple[str, str]]:
        """Return the errors that the operation has by what is around it: status -> texts."""
        found = {"405": _NOT_ALLOWED, "429": _TOO_MANY, "503": _UNAVAILABLE}
        if self.view.get_authenticators():
            found |= {"401": _UNAUTHENTICATED, "403": _FORBIDDEN}
        if operation.get("parameters") or "requestBody" in operation:
            found["400"] = _BAD_REQUEST
        if not self._is_of_text:
            found["406"] = _NOT_ACCEPTABLE
        if self.method in ("POST", "PUT"):
            found |= {"400": _BAD_REQUEST, "413": _TOO_LARGE, "415": _UNSUPPORTED}
        return found

    def _error(self, status: str, description: str, message: str) -> dict[str, Any]:
        if self._is_of_text:
            content = {"text/plain": {"schema": {"type": "string"}, "example": message}}
        else:
            # The view's own serializer of errors names the component.
            example = {"code": int(status), "message": message}
            content = {"application/json": {"schema": reference("Error"), "example": example}}
        return {"description": description, "content": content}

    def _examples(self) -> dict[str, Any]:
        """Return examples of parameters, from the serializers that read them."""
        found: dict[str, Any] = {}
        for one in self.get_override_parameters():
            found |= getattr(one, "examples", None) or {} if isinstance(one, type) else {}
        return found


def _describe_parameters(operation: Operation, examples: dict[str, Any]) -> None:
    """Add examples, and leave out what is a security scheme."""
    parameters = operation.get("parameters", [])
    parameters[:] = [one for one in parameters if (one["name"], one["in"]) != ("key", "query")]
    for parameter in parameters:
        if parameter["in"] == "query" and parameter["name"] in examples:
            parameter["example"] = examples[parameter["name"]]


def add_components(result: Operation, generator: Any, request: Any, public: bool) -> Operation:
    """Add the schemas that views refer to by name; drf-spectacular's hook."""
    schemas = result["components"]["schemas"]
    schemas |= SCHEMAS | history_schema.SCHEMAS | {"Tick": TICK}
    result["components"]["schemas"] = dict(sorted(schemas.items()))
    used = {
        tag
        for item in result["paths"].values()
        for operation in item.values()
        for tag in operation.get("tags", ())
    }
    result["tags"] = [
        {"name": name, "description": TAG_TEXTS.get(name, "")}
        for name in (*TAG_TEXTS, _OTHERS)
        if name in used
    ]
    return result
