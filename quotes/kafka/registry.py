"""The schema registry, read over HTTP, each answer within a deadline as a whole.

A registry that is away is waited for. One that works but refuses a single schema (an error, no
answer, or one that is not JSON) holds up the messages of that schema alone: they are refused.
"""

import base64
import contextlib
import json
import socket
import threading
import time
import urllib.error
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any, TypeVar
from urllib.parse import urlsplit
from urllib.request import HTTPHandler, HTTPSHandler, Request, build_opener

from quotes.errors import BadTick, KafkaDown, KafkaRefused
from quotes.kafka.conf import conf

T = TypeVar("T")

TIMEOUT_S = 2.0
MAX_SCHEMA_BYTES = 1_048_576
# A short answer that all registries have: it shows whether this one works.
PROBE = "/schemas/types"
# An answer to the probe that a registry gives too.
_OTHER_ANSWERS = (404, 405)


class SchemaMissing(BadTick):
    """The registry has no such schema, or does not have it yet."""


class SchemaRegistry:
    """Reads schemas and references from the registry; blocks for some seconds at most."""

    def __init__(self) -> None:
        self.url = conf.schema_registry_url.rstrip("/")
        if urlsplit(self.url).scheme not in ("http", "https"):
            raise KafkaRefused("KAFKA_SCHEMA_REGISTRY_URL must be a URL, as https://registry:8081")
        self.headers = {"Accept": "application/vnd.schemaregistry.v1+json"}
        if conf.schema_registry_auth:
            login = base64.b64encode(conf.schema_registry_auth.encode()).decode()
            self.headers["Authorization"] = f"Basic {login}"
        self._good = PROBE  # the path that was answered last

    def get(self, path: str) -> Any:
        """Return the decoded answer of the registry.

        Raises:
            SchemaMissing: the registry has nothing at this path.
            BadTick: it works, but does not answer this path, tried twice.
            KafkaDown: it does not work.
        """
        try:
            found = self._decoded(path)
        except SchemaMissing:
            raise
        except (OSError, HTTPException, ValueError):
            self._check_works()
            try:
                found = self._decoded(path)
            except SchemaMissing:
                raise
            except (OSError, HTTPException, ValueError) as error:
                problem = f"{type(error).__name__}: {error}"
                raise BadTick(f"the schema registry refuses {path} alone ({problem})") from error
        self._good = path
        return found

    def _decoded(self, path: str) -> Any:
        try:
            return json.loads(_read_within(self._fetch, path))
        except urllib.error.HTTPError as error:
            if error.code == 404:
                raise SchemaMissing(f"the schema registry has no {path}") from error
            raise

    def _check_works(self) -> None:
        """Raise KafkaDown if the registry does not answer another path either."""
        try:
            _read_within(self._fetch, self._good)
        except urllib.error.HTTPError as error:
            if self._good != PROBE or error.code not in _OTHER_ANSWERS:
                raise KafkaDown(f"the schema registry answers {error.code}") from error
        except (OSError, HTTPException) as error:
            raise KafkaDown(f"the schema registry does not answer: {error}") from error

    def _fetch(self, path: str, connections: list[HTTPConnection]) -> bytes:
        """Return the answer to a path; note the connections that are made for it."""
        opener = build_opener(*_noting_handlers(connections))
        deadline = time.monotonic() + TIMEOUT_S
        request = Request(self.url + path, headers=self.headers)  # noqa: S310 - checked above
        with opener.open(request, timeout=TIMEOUT_S) as response:
            found = bytearray()
            # `read1` returns what one read of the socket gave: an answer of single bytes ends too.
            while piece := response.read1(MAX_SCHEMA_BYTES + 1 - len(found)):
                found += piece
                if time.monotonic() > deadline or len(found) > MAX_SCHEMA_BYTES:
                    raise OSError("the answer is too long or too slow")
            return bytes(found)


def in_thread(work: Callable[[], T]) -> "Future[T]":
    """Begin some work in a thread of its own, which does not keep the process from ending."""
    answer: Future[T] = Future()

    def run() -> None:
        try:
            answer.set_result(work())
        except Exception as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()
            answer.set_exception(error)

    threading.Thread(target=run, name="schema registry", daemon=True).start()
    return answer


def _read_within(fetch: Callable[[str, list[HTTPConnection]], bytes], path: str) -> bytes:
    """Return the answer to a path; raise TimeoutError if it is not whole after TIMEOUT_S.

    In a thread of its own, since headers may come a byte at a time. It ends soon after.
    """
    connections: list[HTTPConnection] = []
    answer = in_thread(lambda: fetch(path, connections))
    try:
        return answer.result(TIMEOUT_S)
    except FutureTimeout as error:
        for connection in connections:
            if connection.sock is not None:
                with contextlib.suppress(OSError):
                    connection.sock.shutdown(socket.SHUT_RDWR)
        raise TimeoutError(f"no whole answer within {TIMEOUT_S:g} s") from error


def _noting_handlers(connections: list[HTTPConnection]) -> list[HTTPHandler | HTTPSHandler]:
    """Return handlers of URLs that add each connection to a list."""

    def noted(kind: type[HTTPConnection]) -> Any:
        def connection(*args: Any, **options: Any) -> HTTPConnection:
            connections.append(kind(*args, **options))
            return connections[-1]

        return connection

    class Http(HTTPHandler):
        def http_open(self, request: Request) -> Any:
            return self.do_open(noted(HTTPConnection), request)

    class Https(HTTPSHandler):
        def https_open(self, request: Request) -> Any:
            return self.do_open(noted(HTTPSConnection), request)

    return [Http(), Https()]
