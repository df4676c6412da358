"""Connections as web processes report them to operators: the messages, and asking for them.

An operator's request is published on a channel that every web process reads; each answers into a
list of that request alone, which expires. Nothing is written while nobody asks.

    quotes:connections:requests    channel  a `ConnectionQuery` as JSON
    quotes:connections:answers:ID  list     a `ProcessReport` of each web process as JSON

Keys that a release does not know are ignored, and those that it lacks have defaults, so that
releases can run beside one another. A process that does not know the channel does not answer.
"""

import heapq
import time
import uuid
from collections.abc import Iterable

import msgspec

from quotes.store.names import own_key
from quotes.store.request_clients import request_client

# The least and the most that a process reports, whatever is asked for.
MAX_ROWS = 200
MAX_TOP_SYMBOLS = 20
_ANSWERS_S = 10  # Redis drops answers that nobody read
# Of the deadline of a request: what is left for the answers of processes.
_WAIT_S = 0.6
_MAX_ANSWERS = 1000


class ConnectionQuery(msgspec.Struct, frozen=True, omit_defaults=True):
    """A request of an operator to all web processes.

    Attributes:
        id: of the request, random: the answers are found under it.
        limit: how many connections a process may report; 0: its numbers alone.
        user: a part of a user's name, in any case; "": all.
        address: the beginning of an address; "": all.
        symbol: the key of an instrument that the client is subscribed to; "": all.
        connection: the id of one connection; "": all.
        close: whether to close that connection.
    """

    id: str
    limit: int = 0
    user: str = ""
    address: str = ""
    symbol: str = ""
    connection: str = ""
    close: bool = False

    def matches(self, row: "ConnectionRow") -> bool:
        """Return whether it asks for a connection, as far as that does not depend on symbols."""
        return (
            (not self.connection or row.id == self.connection)
            and self.user.casefold() in row.user.casefold()
            and row.address.startswith(self.address)
        )


class ConnectionRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """One open connection.

    Attributes:
        id: of the connection, in all processes.
        user: the user's name; "" if the client has not authenticated.
        path: the address that it connected to, without its query.
        agent: the User-Agent header, shortened.
        began_at: Unix milliseconds.
        symbols: how many instruments' prices and candles the client gets.
        unsent: bytes that are due to the client.
        conflated: prices that the client was not sent because it was slow.
        resumed: how many of its requests resumed from a position.
        is_slow: whether more is due to it than the high-water mark.
    """

    id: str
    user: str = ""
    address: str = ""
    path: str = ""
    agent: str = ""
    began_at: int = 0
    symbols: int = 0
    unsent: int = 0
    conflated: int = 0
    resumed: int = 0
    is_slow: bool = False

    @property
    def interest(self) -> tuple[bool, int, int, int]:
        """Of two connections, the one with more of it is shown first."""
        return self.is_slow, self.unsent, self.conflated, self.symbols


class ProcessReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one web process answers.

    Attributes:
        process: its name in the counts of connections.
        connections: how many it has.
        matching: how many of them the request asks for.
        slow: how many of all are slow.
        rows: the most interesting of those that match.
        top_symbols: instrument keys and their subscribers, most first.
        prices_per_s: prices that came from bridges.
        messages_per_s: messages that clients sent.
        bytes_per_s: bytes that were written to clients.
        failed_clients: clients that could not be served since the start.
        closed: whether the connection that was to be closed was found here.
    """

    process: str
    machine: str = ""
    pid: int = 0
    began_at: int = 0
    connections: int = 0
    matching: int = 0
    slow: int = 0
    rows: list[ConnectionRow] = []
    top_symbols: list[tuple[str, int]] = []
    prices_per_s: float = 0.0
    messages_per_s: float = 0.0
    bytes_per_s: float = 0.0
    failed_clients: int = 0
    closed: bool = False


decode_query = msgspec.json.Decoder(ConnectionQuery).decode
decode_report = msgspec.json.Decoder(ProcessReport).decode
encode = msgspec.json.Encoder().encode


def requests_channel() -> str:
    """Return the channel on which web processes take requests."""
    return own_key("connections:requests")


def answers_key(request: str) -> str:
    """Return the key of the list of a request's answers."""
    return own_key(f"connections:answers:{request}")


def answer_commands(request: str, report: ProcessReport) -> list[tuple[str | bytes | int, ...]]:
    """Return the commands that answer a request."""
    key = answers_key(request)
    return [("RPUSH", key, encode(report)), ("EXPIRE", key, _ANSWERS_S)]


def most_interesting(rows: Iterable[ConnectionRow], limit: int) -> list[ConnectionRow]:
    """Return the first of connections: the slow ones, then by what is unsent to them."""
    return heapq.nlargest(max(0, min(limit, MAX_ROWS)), rows, key=lambda row: row.interest)


def sum_of_symbols(reports: Iterable[ProcessReport]) -> list[tuple[str, int]]:
    """Return the symbols with the most subscribers in all processes.

    Each process reports its own first symbols, so one that is popular nowhere may be missing.
    """
    totals: dict[str, int] = {}
    for report in reports:
        for symbol, subscribers in report.top_symbols:
            totals[symbol] = totals.get(symbol, 0) + subscribers
    return heapq.nlargest(MAX_TOP_SYMBOLS, totals.items(), key=lambda item: item[1])


class Answers(msgspec.Struct, frozen=True):
    """What came back for a request.

    Attributes:
        reports: of the processes that answered in time.
        processes: how many took the request.
    """

    reports: list[ProcessReport]
    processes: int


def ask_processes(
    *,
    limit: int = 0,
    user: str = "",
    address: str = "",
    symbol: str = "",
    connection: str = "",
    close: bool = False,
) -> Answers:
    """Ask all web processes, and wait for their answers; see `ConnectionQuery`.

    Called in a thread. It takes as long as the slowest process, within QUOTES_REDIS_TIMEOUT_S.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    query = ConnectionQuery(
        uuid.uuid4().hex,
        limit=limit,
        user=user,
        address=address,
        symbol=symbol,
        connection=connection,
        close=close and bool(connection),
    )
    reports: list[ProcessReport] = []
    with request_client() as client:
        begun = time.monotonic()
        count = min(int(client.publish(requests_channel(), encode(query))), _MAX_ANSWERS)
        until = begun + _WAIT_S * client.connection_pool.connection_kwargs["socket_timeout"]
        while len(reports) < count and (wait_s := until - time.monotonic()) > 0:
            # To Redis a wait of 0 has no end.
            answer = client.blpop([answers_key(query.id)], timeout=max(0.01, wait_s))
            if answer is None:
                break
            try:
                reports.append(decode_report(answer[1]))
            except msgspec.MsgspecError:
                count -= 1  # of a release whose answers cannot be read
    return Answers(sorted(reports, key=lambda one: (one.machine, one.pid)), count)
