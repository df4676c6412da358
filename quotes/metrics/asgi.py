"""The metrics of a web process: they start with the application, whichever server runs it."""

import asyncio
import sys
from typing import Any

from quotes.metrics.collectors.web import web_collectors
from quotes.metrics.exporter import start_exporter
from quotes.metrics.tracing import start_tracing
from quotes.runtime.identity import identity
from quotes.runtime.loop_lag import loop_lag


def measured(application: Any) -> Any:
    """Start to export the metrics of this process; return the application, whose loop is watched.

    While QUOTES_METRICS is off, that is the application itself.
    """
    start_tracing(identity)
    exporter = start_exporter(identity, collect=web_collectors(), server=_server_kind())
    return application if exporter is None else _Measured(application)


class _Measured:
    """ASGI application: watches the event loop from the first request on."""

    def __init__(self, application: Any) -> None:
        self._application = application
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop = loop
            loop_lag.watch(loop)
        return await self._application(scope, receive, send)


def _server_kind() -> str:
    for name in ("daphne.server", "uvicorn", "hypercorn", "granian"):
        if name in sys.modules:
            return name.partition(".")[0]
    return "other"
