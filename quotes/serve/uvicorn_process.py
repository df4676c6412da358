"""One web server process: uvicorn on sockets that it inherits.

    python -m quotes.serve.uvicorn_process DESCRIPTOR [DESCRIPTOR ...]

uvicorn's own command accepts on one socket only, and `localhost` has two addresses.
"""

import math
import os
import socket
import sys
from collections.abc import Sequence

import uvicorn

APPLICATION = "config.asgi:application"
UVICORN_WEBSOCKETS = "quotes.websocket.transports.uvicorn:PriceWebSocketProtocol"
UVICORN_HTTP = "quotes.websocket.transports.uvicorn:PriceHTTPProtocol"
PING_S = 20
# As uvicorn's own command.
STARTUP_FAILURE = 3


def main(descriptors: Sequence[str]) -> None:
    """Serve until SIGTERM or SIGINT; exit with 3 if the server does not start."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from quotes.conf import conf

    server = uvicorn.Server(
        uvicorn.Config(
            APPLICATION,
            loop="uvloop",
            lifespan="off",
            ws=UVICORN_WEBSOCKETS,
            http=UVICORN_HTTP,
            # Compression takes three times the CPU and tens of kilobytes a client for 60-byte
            # frames.
            ws_per_message_deflate=False,
            ws_max_size=conf.max_message_bytes,
            ws_ping_interval=PING_S,
            ws_ping_timeout=PING_S,
            # At level info each connection is two lines.
            access_log=False,
            log_level="warning",
            server_header=False,
            # QUOTES_TRUSTED_PROXIES decides which proxies to trust; uvicorn would trust this
            # machine.
            proxy_headers=False,
            # Clients are let go within QUOTES_DRAIN_S, and answers finished.
            timeout_graceful_shutdown=math.ceil(conf.drain_time_s) + 2,
        )
    )
    server.run([socket.socket(fileno=int(one)) for one in descriptors])
    if not server.started:
        sys.exit(STARTUP_FAILURE)


if __name__ == "__main__":
    main(sys.argv[1:])
