"""Answers to requests that match no view, or whose view fails: JSON under /api/."""

from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.views import defaults
from django.views.csrf import csrf_failure as django_csrf_failure

from instruments.rest import is_api, json_error


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Answer 400 to what Django refuses before any view; Django's `handler400`."""
    if is_api(request):
        return json_error(
            400, "the request has too many fields, or a host that is not in ALLOWED_HOSTS"
        )
    return defaults.bad_request(request, exception)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Answer 404; Django's `handler404`."""
    if is_api(request):
        return json_error(404, "nothing exists at this address")
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponseBase:
    """Answer 500; Django's `handler500`."""
    if is_api(request):
        return json_error(500, "internal error, see the log of the server")
    return defaults.server_error(request)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponseBase:
    """Answer a form that is refused, and say what to set; Django's `CSRF_FAILURE_VIEW`.

    The browser kept no cookie, or the page came from another origin: both are mostly settings.
    """
    text = csrf_cure(request)
    if not text:
        return django_csrf_failure(request, reason=reason)
    if is_api(request):
        return json_error(403, text)
    sentences = f"Log-in and other forms are refused here: {text}.\n"
    return HttpResponse(sentences, status=403, content_type="text/plain; charset=utf-8")


def _has_cookie(request: HttpRequest) -> bool:
    return settings.CSRF_COOKIE_NAME in request.COOKIES


def csrf_cure(request: HttpRequest) -> str:
    """Return what to set so that the form would have been accepted; "" if settings are right."""
    origin = request.headers.get("Origin", "")
    host = request.get_host()
    if not request.is_secure() and origin == f"https://{host}":
        return (
            "the page was loaded over HTTPS, and the server does not know. Set "
            "QUOTES_TRUSTED_PROXIES to the address of the proxy, and let the proxy send "
            "X-Forwarded-Proto (docs/operations.md)"
        )
    if not request.is_secure() and settings.CSRF_COOKIE_SECURE and not _has_cookie(request):
        return (
            f"browsers send the cookies of {host} over HTTPS only. Open the page with https://, or "
            "set HTTPS=false on a network that you trust and restart the server"
        )
    try:
        other = urlsplit(origin).netloc not in ("", host)
    except ValueError:
        other = False
    if other:
        return (
            "the page came from another address than the request went to. If a proxy changes the "
            "Host header, let it pass the header on, or set CSRF_TRUSTED_ORIGINS to the address "
            "in the browser, as in https://prices.example.com"
        )
    return ""
