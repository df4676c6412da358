"""The calibration server: frames made before, written as fast as the kernel takes them.

It answers any subscription and then, on command, sends every client the same frame over and over,
many in one write: nothing that a client could be limited by but itself.
"""

import base64
import hashlib
import socket
import time
from contextlib import suppress

from benchmarks.control import Commands, Values, answer
from benchmarks.wire import frame

MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
PRICE = b'{"symbol":"BENCH00000","price":1000.05,"timestamp":1618544700000}'


def accept(listener: socket.socket) -> socket.socket:
    """Accept one client and its subscription, and return its socket."""
    client, _ = listener.accept()
    head = b""
    while b"\r\n\r\n" not in head:
        head += client.recv(1 << 16)
    key = head.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0]
    token = base64.b64encode(hashlib.sha1(key + MAGIC, usedforsecurity=False).digest())
    client.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %s\r\n\r\n" % token
    )
    client.recv(1 << 16)
    client.sendall(frame(b'{"type":"subscribed"}', masked=False))
    client.setblocking(False)
    return client


def blast(clients: list[socket.socket], *, duration_s: float, together: int) -> int:
    """Send frames to all clients for a time; return how many.

    Args:
        clients: non-blocking sockets.
        duration_s: seconds.
        together: frames in one write.
    """
    block = frame(PRICE, masked=False) * together
    written = [0] * len(clients)  # bytes of the block begun that were written, by client
    blocks = 0
    deadline = time.monotonic() + duration_s
    while time.monotonic() < deadline:
        for index, client in enumerate(clients):
            with suppress(BlockingIOError):
                at = written[index] + client.send(memoryview(block)[written[index] :])
                blocks += at == len(block)
                written[index] = at % len(block)
    for index, client in enumerate(clients):  # the rest of what was begun
        if written[index]:
            client.setblocking(True)
            client.sendall(block[written[index] :])
            client.setblocking(False)
            blocks += 1
    return blocks * together


def main() -> None:
    commands = Commands()
    config: Values = commands.first()
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listener:
        answer(port=listener.getsockname()[1])
        clients = [accept(listener) for _ in range(config["clients"])]
    while True:
        for command in commands.read():
            answer(frames=blast(clients, **command))


if __name__ == "__main__":
    main()
