"""Where requests run under ASGI: in one thread, instead of back and forth between threads.

Django calls each method of each middleware that could be asynchronous in a thread: fifteen
crossings a request, which take longer than most answers. Behind a middleware that is synchronous
only, all those before it run in one thread with it.
"""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

Answer = Callable[[HttpRequest], HttpResponse]


def one_thread(get_response: Answer) -> Answer:
    """Return a middleware that does nothing, synchronously; it is the last in MIDDLEWARE."""

    def middleware(request: HttpRequest) -> HttpResponse:
        return get_response(request)

    return middleware
