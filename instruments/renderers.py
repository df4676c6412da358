"""JSON as REST sends it: numbers with exact digits.

In a module of its own, for REST framework imports it while it is being imported itself.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from django.utils.functional import Promise
from rest_framework.renderers import BaseRenderer


def plain_text(value: object) -> str:
    # Texts of Django and DRF come as subclasses of str and as promises of translation.
    if isinstance(value, str | Promise):
        return str(value)
    raise TypeError(f"not JSON, got {type(value).__name__}")


ENCODER = msgspec.json.Encoder(decimal_format="number", enc_hook=plain_text)


class ExactJSONRenderer(BaseRenderer):
    """Renders Decimal as a JSON number with its digits.

    DRF's renderer writes a Decimal as text, or has it go through a binary float.
    """

    media_type = "application/json"
    format = "json"
    charset = None

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        return b"" if data is None else ENCODER.encode(data)
