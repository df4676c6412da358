"""Avro and Protobuf values by a schema registry, which is an HTTP server of the test."""

import contextlib
import io
import json
import socket
import threading
from collections.abc import Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from quotes.errors import BadTick, KafkaDown, KafkaRefused
from quotes.kafka.fields import FieldMap, TopicMessage, read_message
from quotes.kafka.schemas import AvroDecoder, decoded_values
from quotes.runtime.clock import now_ms
from tests.ticks import MOMENT
from tests.waiting import DEADLINE_S

fastavro = pytest.importorskip("fastavro")
timestamp_pb2 = pytest.importorskip("google.protobuf.timestamp_pb2")

TICK = {
    "type": "record",
    "name": "Tick",
    "fields": [
        {"name": "symbol", "type": "string"},
        {
            "name": "price",
            "type": {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2},
        },
        {"name": "timestamp", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "side", "type": "Side"},
        {"name": "volume", "type": ["null", "long"], "default": None},
    ],
}
SIDE = {"type": "enum", "name": "Side", "symbols": ["BUY", "SELL"]}
ANSWERS = {
    "/schemas/ids/7": {
        "schema": json.dumps(TICK),
        "references": [{"name": "Side", "subject": "side/value", "version": 1}],
    },
    "/subjects/side%2Fvalue/versions/1": {"schema": json.dumps(SIDE)},
}


# Schemas that the registry refuses, each in its own way, while it answers the others.
FAILS, NO_JSON, NO_SCHEMA, HANGS, DRIPS, DRIPS_HEADERS, CUTS, IN_CIRCLES = range(500, 508)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.paths.append(self.path)  # type: ignore[attr-defined]
        answer = ANSWERS.get(self.path)
        number = self.path.rpartition("/")[2]
        if not answer and number.isdigit() and int(number) >= FAILS:
            self.misbehave(int(number))
            return
        self.send_response(200 if answer else 404)
        self.end_headers()
        self.wfile.write(json.dumps(answer or {"error_code": 40403}).encode())

    def misbehave(self, kind: int) -> None:
        if kind == HANGS:
            self.server.ended.wait(DEADLINE_S)  # type: ignore[attr-defined]
        elif kind == CUTS:
            self.connection.shutdown(socket.SHUT_RDWR)
        elif kind == DRIPS_HEADERS:
            self.drip(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 10_000)
        else:
            self.send_response(500 if kind == FAILS else 200)
            self.end_headers()
            bodies = {
                FAILS: b"{}",
                NO_JSON: b"<html>",
                NO_SCHEMA: b'{"schema":"{}"}',
                IN_CIRCLES: b'{"schema":"{}","references":[{"subject":"x","version":507}]}',
            }
            if kind == DRIPS:
                self.drip(b" " * 10_000)
            else:
                self.wfile.write(bodies[kind])

    def drip(self, text: bytes) -> None:
        with contextlib.suppress(OSError):
            for at in range(len(text)):
                self.wfile.write(text[at : at + 1])
                if self.server.ended.wait(0.05):  # type: ignore[attr-defined]
                    return

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def registry(settings: Any) -> Iterator[Any]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.paths = []  # type: ignore[attr-defined]
        server.ended = threading.Event()  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        settings.KAFKA_SCHEMA_REGISTRY_URL = f"http://127.0.0.1:{server.server_port}"
        settings.KAFKA_VALUE_FORMAT = "avro"
        yield server
        server.ended.set()  # type: ignore[attr-defined]
        server.shutdown()


def avro(number: int = 7, **values: Any) -> TopicMessage:
    out = io.BytesIO()
    schema = fastavro.parse_schema(TICK, {"Side": fastavro.parse_schema(SIDE)})
    record = {"symbol": "M&M", "price": Decimal("612.50"), "timestamp": MOMENT, "side": "BUY"}
    fastavro.schemaless_writer(out, schema, record | values)
    return TopicMessage(b"\0" + number.to_bytes(4, "big") + out.getvalue())


def test_avro_record_is_a_tick(registry: Any) -> None:
    """Decimals keep their digits, references are followed, each schema is asked for once."""
    read = decoded_values(read_message)
    for _ in range(2):
        reading = read(avro(volume=5), now_ms=now_ms())
    assert reading.frame == (
        b'{"symbol":"M&M","price":612.50,"timestamp":1712331900000,"side":"BUY","volume":5}'
    )
    assert registry.paths == list(ANSWERS)


@pytest.mark.parametrize(
    "message",
    [TopicMessage(b""), TopicMessage(b'{"price":1}'), avro(8), TopicMessage(avro().value[:9])],
)
def test_what_no_schema_describes_is_no_tick(registry: Any, message: TopicMessage) -> None:
    """No schema's number, an unknown one and half a record are poison."""
    with pytest.raises(BadTick):
        decoded_values(read_message)(message, now_ms=now_ms())


@pytest.mark.parametrize(
    "kind", [FAILS, NO_JSON, NO_SCHEMA, HANGS, DRIPS, DRIPS_HEADERS, CUTS, IN_CIRCLES]
)
def test_schema_that_the_registry_refuses_holds_up_its_messages_alone(
    registry: Any, monkeypatch: pytest.MonkeyPatch, kind: int
) -> None:
    """They are refused, at once from the second on; others are read, also new ones."""
    monkeypatch.setattr("quotes.kafka.registry.TIMEOUT_S", 0.3)
    read = decoded_values(read_message)
    with pytest.raises(BadTick):
        read(avro(kind), now_ms=now_ms())
    assert b'"price":612.50' in (read(avro(7), now_ms=now_ms()).frame or b"")
    fetched = len(registry.paths)
    with pytest.raises(BadTick):
        read(avro(kind), now_ms=now_ms())
    assert len(registry.paths) == fetched


def test_schemas_that_hang_hold_up_others_once(
    registry: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that hangs again is waited for briefly, as are others, and read when it comes."""
    monkeypatch.setattr("quotes.kafka.schemas.RETRY_S", 0.05)
    monkeypatch.setattr("quotes.kafka.registry.TIMEOUT_S", 0.3)
    decoder = AvroDecoder()
    record = avro().value[5:]
    with pytest.raises(BadTick, match="refuses /schemas/ids/503 alone"):
        decoder(HANGS, record)
    # From here on, an answer takes longer than the test may.
    monkeypatch.setattr("quotes.kafka.registry.TIMEOUT_S", 4 * DEADLINE_S)
    decoder.refused[HANGS] = (0.0, "refused before")  # a minute ago
    for number, reason in ((HANGS, "refused before"), (DRIPS, "has not answered")):
        for _ in range(3):
            with pytest.raises(BadTick, match=reason):
                decoder(number, record)
    assert registry.paths.count(f"/schemas/ids/{HANGS}") == 3
    assert decoder(7, record)["symbol"] == "M&M"
    monkeypatch.setitem(ANSWERS, f"/schemas/ids/{HANGS}", ANSWERS["/schemas/ids/7"])
    decoder.fetches.clear()  # the fetch under way has ended
    assert decoder(HANGS, record)["symbol"] == "M&M"


def test_schema_that_comes_later_is_read(registry: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing one is fetched again soon."""
    monkeypatch.setattr("quotes.kafka.schemas.MISSING_FOR_S", 0.0)
    read = decoded_values(read_message)
    with pytest.raises(BadTick, match="has no /schemas/ids/8"):
        read(avro(8), now_ms=now_ms())
    monkeypatch.setitem(ANSWERS, "/schemas/ids/8", ANSWERS["/schemas/ids/7"])
    assert b'"price":612.50' in (read(avro(8), now_ms=now_ms()).frame or b"")


def test_registry_that_fails_altogether_is_waited_for(
    registry: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it answered before, it does not answer now either: no message is refused."""
    read = decoded_values(read_message)
    read(avro(7), now_ms=now_ms())
    monkeypatch.delitem(ANSWERS, "/subjects/side%2Fvalue/versions/1")
    monkeypatch.delitem(ANSWERS, "/schemas/ids/7")
    with pytest.raises(KafkaDown):
        read(avro(FAILS), now_ms=now_ms())


def test_registry_that_is_away_is_waited_for(settings: Any) -> None:
    """Messages are no poison because the registry does not answer."""
    settings.KAFKA_VALUE_FORMAT = "avro"
    settings.KAFKA_SCHEMA_REGISTRY_URL = "http://127.0.0.1:9"
    with pytest.raises(KafkaDown):
        decoded_values(read_message)(avro(), now_ms=now_ms())


def test_protobuf_message_is_a_tick(settings: Any) -> None:
    """The fields of a generated class are read by their names, or where the mapping says."""
    settings.KAFKA_VALUE_FORMAT = "protobuf"
    settings.KAFKA_PROTOBUF_MESSAGE = "google.protobuf.timestamp_pb2:Timestamp"
    read = decoded_values(FieldMap("symbol=key,price=nanos,timestamp=seconds", unit="s"))
    record = timestamp_pb2.Timestamp(seconds=MOMENT // 1000, nanos=42).SerializeToString()
    for path in (b"\0", b"\2\0", b"\4\2\x80\1"):
        value = b"\0\0\0\0\7" + path + record
        reading = read(TopicMessage(value, b"A"), now_ms=now_ms())
        assert reading.frame == b'{"symbol":"A","price":42,"timestamp":1712331900000}'


@pytest.mark.parametrize("name", ["", "nowhere:Tick", "json:Tick", "json"])
def test_message_class_that_is_none_is_refused(settings: Any, name: str) -> None:
    """A class that can't be found stops the start."""
    settings.KAFKA_VALUE_FORMAT = "protobuf"
    settings.KAFKA_PROTOBUF_MESSAGE = name
    with pytest.raises(KafkaRefused, match="KAFKA_PROTOBUF_MESSAGE"):
        decoded_values(read_message)
