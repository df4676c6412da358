"""Where the master of a Sentinel URL is: the Sentinels are asked at every connect.

They are asked in turn, each with a short deadline; one that does not answer is the last to be asked
from then on. A Sentinel may go on naming a master that was demoted, so whoever connects checks the
server's role (`redis_roles.py`) and calls `distrust` if it is no master: the next time another
Sentinel is first.

An open connection may be one to a master that hung, was replaced, and came back: it believes to be
a master until Sentinel demotes it, some ten seconds later. `MasterWatch` finds that out.
"""

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from typing import Any

import hiredis

from quotes.runtime.sentinel_url import Address, SentinelURL, shown_address
from quotes.runtime.tls import tls_context

# For one Sentinel: connecting, and its answer.
ASK_TIMEOUT_S = 0.5
# How often, at most, open connections have Sentinels asked whether the master is another one.
RECHECK_S = 1.0
# The same while no Sentinel answers.
_RECHECK_IN_VAIN_S = 5.0
_READ_BYTES = 4096
_MAX_ANSWER_BYTES = 65536


class NoMaster(ConnectionError):
    """No Sentinel names the master.

    Attributes:
        is_wrong: whether a Sentinel, or what was asked instead, answered that the URL is wrong.
    """

    def __init__(self, text: str, *, is_wrong: bool) -> None:
        super().__init__(text)
        self.is_wrong = is_wrong


class _Refused(Exception):
    """What was asked answers, but not with an address; the text says why."""


_lock = threading.Lock()
_order: dict[SentinelURL, list[Address]] = {}


def _in_turn(target: SentinelURL) -> list[Address]:
    with _lock:
        return list(_order.setdefault(target, list(target.sentinels)))


def _put_last(target: SentinelURL, sentinel: Address) -> None:
    with _lock:
        _order[target].sort(key=lambda one: one == sentinel)


def distrust(target: SentinelURL) -> None:
    """Ask the Sentinel that answered last after all others: it named a server that is no master."""
    _put_last(target, _in_turn(target)[0])


async def find_master(target: SentinelURL) -> Address:
    """Return where the master is; raise NoMaster."""
    search = _Search(target)
    for sentinel in search.sentinels():
        try:
            async with asyncio.timeout(ASK_TIMEOUT_S):
                search.found = await _ask(target, sentinel)
        except (OSError, TimeoutError, ValueError, hiredis.ProtocolError, _Refused) as error:
            search.failed = error
    return search.result()


def find_master_now(target: SentinelURL, *, timeout_s: float | None = None) -> Address:
    """Return where the master is, from a thread that may block; raise NoMaster.

    Args:
        timeout_s: for all Sentinels together; default: only the one for each.
    """
    until = None if timeout_s is None else time.monotonic() + timeout_s
    search = _Search(target)
    for sentinel in search.sentinels():
        left = ASK_TIMEOUT_S if until is None else min(ASK_TIMEOUT_S, until - time.monotonic())
        try:
            if left <= 0:
                raise TimeoutError
            search.found = _ask_now(target, sentinel, left)
        except (OSError, ValueError, hiredis.ProtocolError, _Refused) as error:
            search.failed = error
    return search.result()


class _Search:
    """One look-up: set `found` or `failed` for each Sentinel."""

    def __init__(self, target: SentinelURL) -> None:
        self._target = target
        self.found: Address | None = None
        self.failed: Exception | None = None

    def sentinels(self) -> Iterator[Address]:
        """Yield the Sentinels to ask, until one has answered."""
        self._reasons: list[str] = []
        self._is_wrong = False
        for sentinel in _in_turn(self._target):
            yield sentinel
            if self.found is not None:
                return
            _put_last(self._target, sentinel)
            self._is_wrong = self._is_wrong or isinstance(self.failed, _Refused)
            self._reasons.append(f"{shown_address(sentinel)} {_reason(self.failed)}")

    def result(self) -> Address:
        if self.found is None:
            text = f"no Sentinel names the master {self._target.master!r}: "
            raise NoMaster(text + "; ".join(self._reasons), is_wrong=self._is_wrong)
        return self.found


def _reason(error: Exception | None) -> str:
    if isinstance(error, _Refused):
        return str(error)
    if isinstance(error, TimeoutError):
        return "does not answer in time"
    if isinstance(error, ssl.SSLError):
        return f"fails the TLS handshake ({error.reason or 'TLS'})"
    if isinstance(error, OSError):
        return f"cannot be reached ({(error.strerror or type(error).__name__).lower()})"
    return "does not answer as Sentinel does"


def _request(target: SentinelURL) -> tuple[bytes, int]:
    """Return what a Sentinel is sent, and how many replies come."""
    commands: list[tuple[str, ...]] = []
    if target.sentinel_password:
        user = (target.sentinel_username,) if target.sentinel_username else ()
        commands.append(("AUTH", *user, target.sentinel_password))
    commands.append(("SENTINEL", "GET-MASTER-ADDR-BY-NAME", target.master))
    pack: Any = hiredis.pack_command
    return b"".join(pack(command) for command in commands), len(commands)


class _Answer:
    """The replies of one Sentinel as they come."""

    def __init__(self, replies: int) -> None:
        self._reader = hiredis.Reader(replyError=hiredis.ReplyError)
        self._left = replies
        self._bytes = 0
        self._error = ""
        self._last: Any = None

    def take(self, data: bytes) -> bool:
        """Take what was read; return whether all replies are there."""
        self._bytes += len(data)
        if not data or self._bytes > _MAX_ANSWER_BYTES:
            raise ValueError("the answer ended early, or is no answer of Sentinel")
        self._reader.feed(data)
        while self._left and (reply := self._reader.gets()) is not False:
            self._left -= 1
            self._last = reply
            if isinstance(reply, hiredis.ReplyError) and not self._error:
                self._error = str(reply)
        return not self._left

    def master(self) -> Address:
        """Return the address; raise _Refused."""
        reply = self._last
        if isinstance(reply, list) and len(reply) == 2:
            return reply[0].decode(), int(reply[1])
        raise _Refused(_refusal(self._error))


def _refusal(error: str) -> str:
    """Return what a Sentinel says instead of an address."""
    if not error:
        return (
            "watches no master of this name: write the one that `sentinel monitor` in its "
            "sentinel.conf has"
        )
    if error.startswith(("NOAUTH", "WRONGPASS", "NOPERM", "ERR AUTH", "ERR invalid password")):
        return (
            "refuses the server's credentials: set sentinel_password (and sentinel_username) in "
            "the URL"
        )
    if "unknown command" in error:
        return (
            "is Redis, not Sentinel: name the ports of Sentinels (26379 by default), or write "
            "redis://HOST:PORT/0 for one Redis"
        )
    raise ValueError("an error that says nothing of the URL")


async def _ask(target: SentinelURL, sentinel: Address) -> Address:
    context = tls_context(dict(target.tls_options)) if target.tls else None
    reader, writer = await asyncio.open_connection(*sentinel, ssl=context)
    try:
        request, replies = _request(target)
        writer.write(request)
        answer = _Answer(replies)
        while not answer.take(await reader.read(_READ_BYTES)):
            pass
        return answer.master()
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)  # the transport closes in the next turn


def _ask_now(target: SentinelURL, sentinel: Address, timeout_s: float) -> Address:
    until = time.monotonic() + timeout_s
    plain = socket.create_connection(sentinel, timeout_s)
    with plain if not target.tls else _wrapped(target, plain, sentinel) as connection:
        request, replies = _request(target)
        connection.sendall(request)
        answer = _Answer(replies)
        while True:
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError
            connection.settimeout(left)
            if answer.take(connection.recv(_READ_BYTES)):
                return answer.master()


def _wrapped(target: SentinelURL, plain: socket.socket, sentinel: Address) -> ssl.SSLSocket:
    try:
        return tls_context(dict(target.tls_options)).wrap_socket(plain, server_hostname=sentinel[0])
    except BaseException:
        plain.close()
        raise


class MasterWatch:
    """What Sentinels say now of the master, for connections that are open; one for each process.

    Sentinels are asked once a second at most, however many connections there are.
    """

    def __init__(self, target: SentinelURL) -> None:
        self._target = target
        self._found: Address | None = None
        self._asked_at = 0.0  # monotonic seconds; when that was asked for
        self._due_at = 0.0
        self._claim = threading.Lock()

    def _is_due(self) -> bool:
        """Return whether the caller is to ask; then others go by what is known meanwhile."""
        with self._claim:
            now = time.monotonic()
            if now < self._due_at:
                return False
            self._due_at = now + RECHECK_S
            return True

    def _note(self, found: Address | None, asked_at: float) -> None:
        if found is None:
            self._due_at = time.monotonic() + _RECHECK_IN_VAIN_S
        self._found, self._asked_at = found, asked_at

    def _is_other(self, address: Address, since: float) -> bool:
        # An answer from before the connection's own says nothing.
        return self._found not in (None, address) and self._asked_at > since

    async def is_elsewhere(self, address: Address, *, since: float) -> bool:
        """Return whether Sentinels name another address than that of an open connection.

        Args:
            since: monotonic seconds, when the address was found.
        """
        if self._is_due():
            asked_at = time.monotonic()
            try:
                self._note(await find_master(self._target), asked_at)
            except NoMaster:
                self._note(None, asked_at)
        return self._is_other(address, since)

    def is_elsewhere_now(self, address: Address, *, since: float) -> bool:
        """As `is_elsewhere`, from a thread that may block, for as long as one Sentinel may take."""
        if self._is_due():
            asked_at = time.monotonic()
            try:
                self._note(find_master_now(self._target, timeout_s=ASK_TIMEOUT_S), asked_at)
            except NoMaster:
                self._note(None, asked_at)
        return self._is_other(address, since)


_watches: dict[SentinelURL, MasterWatch] = {}


def master_watch(target: SentinelURL) -> MasterWatch:
    """Return the process's watch of a master."""
    with _lock:
        return _watches.setdefault(target, MasterWatch(target))
