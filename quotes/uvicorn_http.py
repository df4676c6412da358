"""The former place of the uvicorn protocol, for start commands of release 0.1.0; gone in 0.3."""

import logging

from quotes.websocket.transports.uvicorn import PriceHTTPProtocol

__all__ = ["PriceHTTPProtocol"]

logging.getLogger(__name__).warning(
    "quotes.uvicorn_http has moved: start uvicorn with "
    "--http quotes.websocket.transports.uvicorn:PriceHTTPProtocol"
)
