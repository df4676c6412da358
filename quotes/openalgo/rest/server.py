"""`ping`, and what answers to an address that there is not."""

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from quotes.openalgo.protocol import BROKER
from quotes.openalgo.rest.base import OpenAlgoView, PostView, failure, success


class PingView(PostView):
    def answer(self, request: Request, terms: dict[str, Any]) -> Response:
        """Say that the server answers, and takes the key."""
        return success(data={"message": "pong", "broker": BROKER})


class NotFoundView(OpenAlgoView):
    """Answers all else of OpenAlgo's API: this server has prices, and takes no orders."""

    authentication_classes = ()
    permission_classes = ()

    def get(self, request: Request, rest: str) -> Response:
        return failure("nothing exists at this address: this server has prices alone", 404)

    post = get
