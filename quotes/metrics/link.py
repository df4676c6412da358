"""The connection between a process and the one that answers scrapes for the whole machine.

A process joins by an HTTP request, after which the connection carries requests for samples one way
(a number of 4 bytes) and answers the other (the same number, a length of 4 bytes, the samples). It
ends with either process, which each of them notices at once.
"""

import contextlib
import selectors
import socket
import struct
import time
from collections.abc import Callable, Collection, Iterable
from threading import Lock

import msgspec

from quotes.metrics.samples import Sample, decode

JOIN_PATH = "/join"
KEY_HEADER = "X-Deployment"
PROCESS_HEADER = "X-Process"
WORKER_HEADER = "X-Worker"

_NUMBER = struct.Struct("!I")
_ANSWER = struct.Struct("!II")
_MAX_ANSWER = 4 << 20
_CONNECT_TIMEOUT_S = 2.0
_MAX_HEAD = 4096


class Refused(Exception):
    """The process at the address does not take this one; the text is the reason."""


class MemberLost(Exception):
    """The process has ended, or sends what it should not."""


class Member:
    """A process that joined, as the one that answers scrapes sees it.

    Attributes:
        process: its kind.
        worker: its number among those of its kind.
    """

    def __init__(self, connection: socket.socket, process: str, worker: str) -> None:
        self.process = process
        self.worker = worker
        self._connection = connection
        self._connection.setblocking(False)
        self._number = 0
        self._held = b""
        self.is_lost = False

    def fileno(self) -> int:
        return self._connection.fileno()

    def request(self) -> None:
        """Ask for samples; an answer to an earlier request is dropped when it comes."""
        self._number = (self._number + 1) & 0xFFFFFFFF
        try:
            self._connection.send(_NUMBER.pack(self._number))
        except OSError:
            self.is_lost = True

    def read(self) -> list[Sample] | None:
        """Return the answer, None if it is not complete yet; call it when there is something.

        Raises:
            MemberLost: there will be none.
        """
        try:
            data = self._connection.recv(1 << 16)
        except BlockingIOError:
            return None
        except OSError as error:
            raise MemberLost(str(error)) from error
        if not data:
            raise MemberLost("it has ended")
        self._held += data
        while len(self._held) >= _ANSWER.size:
            number, length = _ANSWER.unpack_from(self._held)
            if length > _MAX_ANSWER:
                raise MemberLost("its answer is too long")
            end = _ANSWER.size + length
            if len(self._held) < end:
                return None
            answer, self._held = self._held[_ANSWER.size : end], self._held[end:]
            if number == self._number:
                try:
                    return decode(answer)
                except msgspec.MsgspecError as error:
                    raise MemberLost("its answer cannot be read") from error
        return None

    def has_ended(self) -> bool:
        """Return whether the process has closed its end."""
        try:
            return not self._connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def close(self) -> None:
        """End the connection; the process notices at once."""
        self.is_lost = True
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()


class Members:
    """The processes that joined; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._members: list[Member] = []

    def add(
        self, connection: socket.socket, process: str, worker: str, *, taken: Collection[str]
    ) -> Member:
        """Take a process in, under its own number if that is free, else the lowest that is.

        Args:
            taken: numbers of that kind that are not free.
        """
        with self._lock:
            for one in self._members[:]:
                if one.has_ended():
                    self._members.remove(one)
                    one.close()
            used = {*taken, *(one.worker for one in self._members if one.process == process)}
            if not worker or worker in used:
                numbers = map(str, range(1, len(used) + 2))
                worker = next(one for one in numbers if one not in used)
            member = Member(connection, process, worker)
            self._members.append(member)
            return member

    def collect(self, within_s: float) -> list[tuple[Member, list[Sample] | None]]:
        """Return the samples of all members; None of those that do not answer in time.

        Those that have ended are removed.
        """
        with self._lock:
            members = list(self._members)
        found = self._collect(members, time.monotonic() + within_s)
        for one in members:
            if one.is_lost:
                self.remove(one)
        return [(one, found.get(one)) for one in members if not one.is_lost]

    @staticmethod
    def _collect(members: Iterable[Member], until: float) -> dict[Member, list[Sample]]:
        found: dict[Member, list[Sample]] = {}
        with selectors.DefaultSelector() as waiting:
            for one in members:
                one.request()
                if not one.is_lost:
                    waiting.register(one, selectors.EVENT_READ)
            while waiting.get_map() and (left_s := until - time.monotonic()) > 0:
                for key, _ in waiting.select(left_s):
                    member: Member = key.fileobj  # type: ignore[assignment]
                    try:
                        samples = member.read()
                    except MemberLost:
                        member.is_lost = True
                        waiting.unregister(member)
                        continue
                    if samples is not None:
                        found[member] = samples
                        waiting.unregister(member)
        return found

    def remove(self, member: Member) -> None:
        with self._lock:
            if member in self._members:
                self._members.remove(member)
        member.close()

    def close(self) -> None:
        with self._lock:
            members, self._members = self._members, []
        for one in members:
            one.close()


def join(
    address: tuple[str, int], *, key: str, process: str, worker: str
) -> tuple[socket.socket, str]:
    """Join the process at an address.

    Returns:
        The connection, and the number under which this process is shown.

    Raises:
        Refused: it belongs to another deployment, or is another program.
        OSError: nothing answers.
    """
    connection = socket.create_connection(address, _CONNECT_TIMEOUT_S)
    try:
        head = (
            f"POST {JOIN_PATH} HTTP/1.1\r\nHost: metrics\r\nConnection: Upgrade\r\n"
            f"{KEY_HEADER}: {key}\r\n{PROCESS_HEADER}: {process}\r\n"
            f"{WORKER_HEADER}: {worker}\r\n\r\n"
        )
        connection.sendall(head.encode())
        lines = _read_head(connection).splitlines()
        status = lines[0].split(" ", 2)[1:2] if lines else []
        if status == ["403"]:
            raise Refused("belongs to another deployment")
        if status != ["101"]:
            raise Refused("is in use by another program")
        headers = dict(line.partition(": ")[::2] for line in lines[1:])
        connection.settimeout(None)
        return connection, headers.get(WORKER_HEADER, worker)
    except BaseException:
        connection.close()
        raise


def _read_head(connection: socket.socket) -> str:
    """Return the head of an answer, without reading further."""
    head = b""
    while not head.endswith(b"\r\n\r\n") and len(head) < _MAX_HEAD:
        byte = connection.recv(1)
        if not byte:
            break
        head += byte
    return head.decode("latin-1")


def answer_requests(connection: socket.socket, collect: Callable[[], bytes]) -> None:
    """Answer requests for samples until the connection ends."""
    with contextlib.suppress(OSError), connection:
        while True:
            data = connection.recv(_NUMBER.size, socket.MSG_WAITALL)
            if len(data) < _NUMBER.size:
                return
            answer = collect()
            connection.sendall(data + len(answer).to_bytes(4, "big") + answer)
