"""The former place of the uvicorn protocol, for start commands of release 0.1.0; gone in 0.3."""

import logging

from quotes.websocket.transports.uvicorn import PriceWebSocketProtocol

__all__ = ["PriceWebSocketProtocol"]

logging.getLogger(__name__).warning(
    "quotes.uvicorn_transport has moved: start uvicorn with "
    "--ws quotes.websocket.transports.uvicorn:PriceWebSocketProtocol"
)
