"""The pages of the documents: the list of all, one page, the search, and their images."""

import hashlib
from collections.abc import Mapping
from typing import Any

from django.http import FileResponse, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.cache import get_conditional_response
from django.utils.http import quote_etag
from django.views.decorators.http import require_safe

from quotes.screens.documents.library import library
from quotes.screens.documents.rendering import rendered
from quotes.screens.documents.searching import MAX_QUERY, search

# Nothing but files of this server, and no inline script or style.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_DECISIONS = "Design decisions"
_NO_DOCUMENTS = (
    "This server is installed without its documents: they are in the folder docs of its source."
)


@require_safe
def index(request: HttpRequest) -> HttpResponseBase:
    """Show the list of all pages, by reader."""
    return document_page(request, "index.html", {"title": "Documents", **_listed()})


@require_safe
def decisions(request: HttpRequest) -> HttpResponseBase:
    """Show the list of design decisions."""
    return document_page(request, "index.html", {"title": _DECISIONS, **_listed(only=_DECISIONS)})


def _listed(only: str = "") -> dict[str, Any]:
    """Return the pages of each group with their first sentences."""
    groups = {
        title: [(source, rendered(source, library()).summary) for source in sources]
        for title, sources in library().groups().items()
        if title == only or (not only and title != _DECISIONS)
    }
    return {"listed": groups}


@require_safe
def page(request: HttpRequest, slug: str) -> HttpResponseBase:
    """Show a page; 404 with suggestions for an address that is none."""
    source = library().pages.get(slug.strip("/").lower())
    if source is None:
        words = slug.replace("/", " ").replace("-", " ").removesuffix(".md")
        missing = {
            "title": "No such page",
            "slug": slug,
            "meant": library().like(slug),
            "hits": search(words, library())[:5],
        }
        return document_page(request, "missing.html", missing, status=404)
    found = rendered(source, library())
    values: dict[str, Any] = {"title": found.title, "page": found, "current": source}
    return document_page(request, "page.html", values)


@require_safe
def find(request: HttpRequest) -> HttpResponseBase:
    """Show what a search finds."""
    query = request.GET.get("q", "").strip()[:MAX_QUERY]
    values = {"title": "Search", "query": query, "hits": search(query, library())}
    return document_page(request, "search.html", values)


@require_safe
def image(request: HttpRequest, name: str) -> HttpResponseBase:
    """Send an image of the documents."""
    path = library().images.get(name)
    if path is None:
        return HttpResponse("no such image\n", status=404, content_type="text/plain")
    return FileResponse(path.open("rb"), headers={"Cache-Control": "no-cache"})


def document_page(
    request: HttpRequest, template: str, values: Mapping[str, Any], *, status: int = 200
) -> HttpResponseBase:
    """Return a page in the frame of the documents, or 304 if the client has the same."""
    if not library().pages:
        return HttpResponse(_NO_DOCUMENTS + "\n", status=404, content_type="text/plain")
    groups = {title: pages for title, pages in library().groups().items() if title != _DECISIONS}
    context = {"groups": groups, "query": "", **values}
    response = render(request, f"screens/documents/{template}", context, status=status)
    response["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    response["Cache-Control"] = "no-cache"
    if status != 200:
        return response
    etag = quote_etag(hashlib.blake2b(response.content, digest_size=16).hexdigest())
    response["ETag"] = etag
    found = get_conditional_response(request, etag=etag, response=response)
    return found or response
