"""The answer to plain HTTP at the address of a WebSocket."""

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt


@csrf_exempt
def upgrade_required(request: HttpRequest) -> HttpResponse:
    """Answer an HTTP request to the address of the WebSocket: 426."""
    scheme = "wss" if request.is_secure() else "ws"
    return HttpResponse(
        f"This address takes WebSocket connections only: connect to {scheme}://"
        f"{request.get_host()}{request.path} with a WebSocket client.\n",
        status=426,
        content_type="text/plain; charset=utf-8",
        headers={"Upgrade": "websocket", "Connection": "Upgrade", "Cache-Control": "no-store"},
    )
