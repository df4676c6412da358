"""Content negotiation of views that answer in one format."""

from typing import Any

from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.request import Request


class OneFormat(DefaultContentNegotiation):
    """Answers with the one format that there is, whatever the request accepts.

    Programs that read a fixed format often accept others, or nothing that fits. Bodies are parsed
    by their type, as usual.
    """

    def select_renderer(self, request: Request, renderers: Any, format_suffix: Any = None) -> Any:
        return renderers[0], renderers[0].media_type
