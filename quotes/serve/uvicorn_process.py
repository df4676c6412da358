"""One web server process: uvicorn as `serve` starts it.

    python -m quotes.serve.uvicorn_process 127.0.0.1:5001      a service of its own
    python -m quotes.serve.uvicorn_process 3 4                 on sockets that it inherits

uvicorn's own command accepts on one socket only, and `localhost` has two addresses.
"""

import math
import os
import socket
import sys
from collections.abc import Sequence

import uvicorn

from quotes.serve.listening import CannotListen, open_listeners

APPLICATION = "config.asgi:application"
UVICORN_WEBSOCKETS = "quotes.websocket.transports.uvicorn:PriceWebSocketProtocol"
UVICORN_HTTP = "quotes.websocket.transports.uvicorn:PriceHTTPProtocol"
PING_S = 20
# As uvicorn's own command.
STARTUP_FAILURE = 3


def main(addresses: Sequence[str]) -> None:
    """Serve until SIGTERM or SIGINT; exit with 3 if the server does not start.

    Args:
        addresses: each is HOST:PORT, or the number of an inherited descriptor.
    """
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    try:
        sockets = [one for address in addresses for one in _sockets(address)]
    except CannotListen as error:
        sys.exit(str(error))
    if not sockets:
        sys.exit("where to listen? Pass an address, such as 127.0.0.1:5001")
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
            log_config=None,
            log_level="warning",
            server_header=False,
            # QUOTES_TRUSTED_PROXIES decides which proxies to trust; uvicorn would trust this
            # machine.
            proxy_headers=False,
            # Clients are let go within QUOTES_DRAIN_S, and answers finished.
            timeout_graceful_shutdown=math.ceil(conf.drain_time_s) + 2,
        )
    )
    server.run(sockets)
    if not server.started:
        sys.exit(STARTUP_FAILURE)


def _sockets(address: str) -> Sequence[socket.socket]:
    """Return the sockets of one argument; raise CannotListen."""
    if address.isascii() and address.isdigit():
        return [socket.socket(fileno=int(address))]
    host, separator, port = address.rpartition(":")
    is_port = port.isascii() and port.isdigit() and 0 < int(port) < 65536
    if not (host and separator and is_port):
        raise CannotListen(f"an address is HOST:PORT, such as 127.0.0.1:5001, got {address!r}")
    return open_listeners(host.strip("[]"), int(port))[0]


if __name__ == "__main__":
    main(sys.argv[1:])
