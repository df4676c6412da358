"""An outside issuer of tokens: an HTTP server with its public keys, which can be slow."""

import json
import socketserver
import threading
import time
from types import TracebackType
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

RSA = rsa.generate_private_key(65537, 2048)
OTHER_RSA = rsa.generate_private_key(65537, 2048)
CURVE = ec.generate_private_key(ec.SECP256R1())
ISSUER = "https://issuer.example.com/"
AUDIENCE = "prices"
HEAD = b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n"
DRIP_S = 0.02


def outside(**others: Any) -> dict[str, Any]:
    """The claims of a good token."""
    now = int(time.time())
    good = {"sub": "asha", "iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + 60}
    return {**good, **others}


def issued(key: Any, algorithm: str, kid: str = "k1", **others: Any) -> str:
    return jwt.encode(outside(**others), key, algorithm=algorithm, headers={"kid": kid})


class Issuer:
    """Serves its keys until it is closed.

    Attributes:
        drip: which part comes byte by byte, "" or "head" or "body", until `hurry` is set.
        fetches: how many requests came.
    """

    def __init__(self) -> None:
        self.keys: list[dict[str, Any]] = []
        self.drip = ""
        self.hurry = threading.Event()
        self.fetches = 0
        issuer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                while self.rfile.readline().strip():
                    pass
                issuer.fetches += 1
                parts = {"head": HEAD, "body": json.dumps({"keys": issuer.keys}).encode()}
                for name, data in parts.items():
                    pieces = [data] if issuer.drip != name else [bytes([one]) for one in data]
                    for piece in pieces:
                        if issuer.drip == name:
                            issuer.hurry.wait(DRIP_S)
                        try:
                            self.wfile.write(piece)
                        except OSError:
                            return  # it was given up

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/keys"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def add(self, key: Any, kid: str, **others: Any) -> None:
        kind: Any = jwt.algorithms.RSAAlgorithm if key in (RSA, OTHER_RSA) else None
        kind = kind or jwt.algorithms.ECAlgorithm
        values = json.loads(kind.to_jwk(key.public_key()))
        values.pop("key_ops", None)
        self.keys.append({**values, "kid": kid, "use": "sig", **others})

    def __enter__(self) -> "Issuer":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.hurry.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
