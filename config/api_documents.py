"""The descriptions of the API for programs and for people: OpenAPI and AsyncAPI."""

import hashlib
from functools import lru_cache
from typing import Any

import msgspec
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response
from django.utils.http import quote_etag
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from config.asyncapi import document
from quotes.conf import conf
from quotes.screens.documents.sockets import read_channels, read_values
from quotes.screens.documents.views import document_page

# Swagger UI draws its icons from data URLs; its styles are set by its own script.
_SWAGGER_POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)


class SchemaView(SpectacularAPIView):
    """Sends the OpenAPI document, as YAML or JSON; it takes a second to make, and is kept."""

    schema = None

    def get(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        renderer = request.accepted_renderer
        kind: Any = type(renderer)
        body = _openapi(kind, conf.auth)
        return _cacheable(request, body, renderer.media_type)


@lru_cache(maxsize=16)
def _openapi(renderer: Any, auth: str) -> bytes:
    """Return the text of the OpenAPI document, which depends on QUOTES_AUTH."""
    found: Any = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    text: bytes = renderer().render(found, renderer_context={})
    return text


@require_safe
def asyncapi(request: HttpRequest) -> HttpResponseBase:
    """Send the AsyncAPI document; its server is the address that it is read from."""
    scheme = "wss" if request.is_secure() else "ws"
    server = {"host": request.get_host(), "protocol": scheme}
    body = msgspec.json.encode({**document(), "servers": {"this": server}})
    return _cacheable(request, body, "application/json")


def _cacheable(request: Any, body: bytes, content_type: str) -> HttpResponseBase:
    """Return a document, or 304 if the client has the same."""
    response = HttpResponse(body, content_type=content_type)
    response["ETag"] = etag = quote_etag(hashlib.blake2b(body, digest_size=16).hexdigest())
    response["Cache-Control"] = "no-cache"
    return get_conditional_response(request, etag=etag, response=response) or response


@require_safe
def sockets(request: HttpRequest) -> HttpResponseBase:
    """Show the AsyncAPI document as a page."""
    found = document()
    values = {
        "title": "Sockets",
        "channels": read_channels(found),
        "values": read_values(found),
    }
    return document_page(request, "sockets.html", values)


class SwaggerView(SpectacularSwaggerSplitView):
    """Shows the OpenAPI document, and links to the other documents."""

    schema = None
    url_name = "schema"
    template_name = "screens/documents/swagger.html"

    def get(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        response: Any = super().get(request, *args, **kwargs)  # type: ignore[no-untyped-call]
        response["Content-Security-Policy"] = _SWAGGER_POLICY
        return response
