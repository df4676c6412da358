"""One WebSocket client of the load process, from the handshake to its last subscription.

How far it has to go is given as steps: wait until the server has sent some text, then send a
message. After them the connection only receives.
"""

import socket
from collections.abc import Sequence

from benchmarks.wire import frame, handshake

ACCEPTED = b"101"
ERRORS = (b'"type":"error"', b'"error":{"code":')  # of the price server, of Centrifugo
MOST_BYTES = 1 << 22  # of what a server sends before a client is subscribed

# What a narrow client announces. With the loopback's own segments of 64 KiB and its buffers the
# kernel takes 4 MB for a client that does not read before the server notices; with these 60 KB.
SEGMENT_BYTES = 1448
RECEIVE_BYTES = 4096


class Connection:
    def __init__(
        self, port: int, path: str, steps: Sequence[tuple[str, str]], *, narrow: bool = False
    ) -> None:
        """Begin to connect.

        Args:
            port: of the server, on the loopback interface.
            path: what to ask for.
            steps: pairs of a text to wait for and a message to send then; either may be empty.
            narrow: with segments as on the internet and a small buffer to receive into.
        """
        self.request = handshake(f"127.0.0.1:{port}", path)
        self.steps = [(wanted.encode(), message.encode()) for wanted, message in steps]
        self.seen = b""  # what came and was not yet waited for
        self.upgraded = False
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if narrow:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT_BYTES)
        self.socket.connect_ex(("127.0.0.1", port))
        self.fileno = self.socket.fileno()
        self.recv_into = self.socket.recv_into

    @property
    def ready(self) -> bool:
        """Whether the client is connected and all steps are done."""
        return self.upgraded and not self.steps

    def begin(self) -> None:
        """Ask for the WebSocket, once connected."""
        error = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise ConnectionError(f"a client could not connect, error {error}")
        self.socket.send(self.request)

    def receive(self) -> bytes:
        """Return what came after the handshake, and take the steps that it allows."""
        data = self.socket.recv(1 << 16)
        if not data:
            raise ConnectionError(f"the server closed on a client, after {self.seen[-200:]!r}")
        self.seen += data
        if len(self.seen) > MOST_BYTES:
            raise ConnectionError(f"the server never answered, got {self.seen[:75]!r}")
        if not self.upgraded:
            head, end, rest = self.seen.partition(b"\r\n\r\n")
            if not end:
                return b""
            if head.split()[1] != ACCEPTED:
                raise ConnectionError(f"the server refused a client, got {head[:75]!r}")
            self.upgraded = True
            self.seen = data = rest
        if any(error in self.seen for error in ERRORS):
            raise ConnectionError(f"the server answered a client with {self.seen[-200:]!r}")
        while self.steps:
            wanted, message = self.steps[0]
            _, found, after = self.seen.partition(wanted) if wanted else (b"", b"", self.seen)
            if wanted and not found:
                break
            self.seen = after
            if message:
                self.socket.send(frame(message))
            del self.steps[0]
        return data
