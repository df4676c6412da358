"""Avro and Protobuf messages, by the schemas of a registry (Confluent's wire format).

A message is a zero byte, the schema's id in four bytes, and the record. `fields.py` reads a tick
from the record's fields. Needs requirements-kafka-schemas.txt.
"""

import json
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from importlib import import_module
from importlib.util import find_spec
from io import BytesIO
from typing import Any, NamedTuple
from urllib.parse import quote

from quotes.errors import BadTick, KafkaDown, KafkaRefused
from quotes.kafka.conf import conf
from quotes.kafka.fields import TopicMessage, TopicTick, values_as_json
from quotes.kafka.registry import SchemaMissing, SchemaRegistry, in_thread

Decode = Callable[[int, bytes], dict[str, Any]]  # schema id, record -> its fields

HEAD = 5
MAX_REFERENCES = 100
# Schemas that were refused lately.
MAX_REFUSED = 10_000
# How soon a schema is fetched again: one that was missing may have come meanwhile, and one that
# the registry refused may have taken seconds.
MISSING_FOR_S = 1.0
REFUSED_FOR_S = 60.0
# How long messages wait for a schema that was refused before, or while the registry is slow.
RETRY_S = 0.5
PACKAGES = {"avro": "fastavro", "protobuf": "google.protobuf"}


def decoded_values(read: Callable[..., TopicTick]) -> Callable[..., TopicTick]:
    """Return a reader that decodes a message and passes its fields, as JSON, to `read`.

    Raises:
        KafkaRefused: a package or a setting is missing.
    """
    if not installed(PACKAGES[conf.value_format]):
        raise KafkaRefused(
            f"KAFKA_VALUE_FORMAT={conf.value_format} needs more packages: "
            "run `python -m pip install -r requirements-kafka-schemas.txt`"
        )
    decode: Decode = AvroDecoder() if conf.value_format == "avro" else ProtobufDecoder()

    def decoded(message: TopicMessage, *, now_ms: int, ahead_ms: int = 0) -> TopicTick:
        value = message.value
        if len(value) < HEAD or value[0] != 0:
            raise BadTick("the message does not begin with a schema id")
        try:
            values = decode(int.from_bytes(value[1:HEAD], "big"), value[HEAD:])
            text = values_as_json(values)
        except (KafkaDown, BadTick):
            raise
        except Exception as error:  # decoders raise anything on bytes of another format
            raise BadTick(f"not a valid {conf.value_format} record ({error})") from error
        return read(message._replace(value=text), now_ms=now_ms, ahead_ms=ahead_ms)

    return decoded


def installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:
        return False


class _Fetch(NamedTuple):
    """A schema on its way, and whether messages of it no longer wait."""

    answer: "Future[Any]"
    is_late: bool


class AvroDecoder:
    """Decodes by the schema that the record was written with; each schema is fetched once.

    A schema that is missing, or cannot be read, is fetched again after a while. Messages wait for a
    schema once: as long as the registry takes, or for RETRY_S if it has been slow lately.
    """

    def __init__(self) -> None:
        self.fastavro: Any = import_module("fastavro")
        self.registry = SchemaRegistry()
        self.schemas: dict[int, Any] = {}
        self.refused: dict[int, tuple[float, str]] = {}  # number -> until when, and why
        self.fetches: dict[int, _Fetch] = {}
        self.slow_until = 0.0  # monotonic time

    def __call__(self, number: int, record: bytes) -> dict[str, Any]:
        schema = self.schemas.get(number)
        if schema is None:
            schema = self.schemas[number] = self._fetch(number)
        values = self.fastavro.schemaless_reader(BytesIO(record), schema, None)
        if not isinstance(values, dict):
            raise BadTick("the schema does not describe a record")
        return values

    def _fetch(self, number: int) -> Any:
        """Return a schema.

        Raises:
            BadTick: it cannot be had, now or since a moment ago.
            KafkaDown: the registry does not answer.
        """
        until, reason = self.refused.get(number, (0.0, ""))
        began = time.monotonic()
        if began < until:
            raise BadTick(reason)
        path = f"/schemas/ids/{number}"
        fetch = self.fetches.get(number)
        if fetch is None:
            fetch = _Fetch(in_thread(lambda: self.schema(path, {}, [])), is_late=False)
        if not fetch.answer.done():
            is_slow = number in self.refused or began < self.slow_until
            wait([fetch.answer], 0 if fetch.is_late else RETRY_S if is_slow else None)
            if time.monotonic() - began >= RETRY_S:
                self.slow_until = time.monotonic() + REFUSED_FOR_S
        if not fetch.answer.done():
            self.fetches[number] = fetch._replace(is_late=True)
            raise BadTick(reason or f"the schema registry has not answered {path} yet")
        self.fetches.pop(number, None)
        try:
            found = fetch.answer.result()
        except KafkaDown:
            raise
        except Exception as error:  # whatever the registry sends, and whatever its parser says
            reason = str(error) if isinstance(error, BadTick) else f"schema {number}: {error!r}"
            pause_s = MISSING_FOR_S if isinstance(error, SchemaMissing) else REFUSED_FOR_S
            if len(self.refused) >= MAX_REFUSED:
                self.refused.clear()
            self.refused[number] = (time.monotonic() + pause_s, reason)
            raise BadTick(reason) from error
        self.refused.pop(number, None)
        return found

    def schema(self, path: str, named: dict[str, Any], seen: list[str]) -> Any:
        """Return a schema with all schemas that it refers to.

        Args:
            named: the schemas parsed before, by name.
            seen: the paths fetched before.
        """
        if len(seen) == MAX_REFERENCES:
            raise BadTick(f"the schema refers to more than {MAX_REFERENCES} others")
        seen.append(path)
        found = self.registry.get(path)
        for one in found.get("references") or ():
            subject, version = quote(one["subject"], safe=""), int(one["version"])
            self.schema(f"/subjects/{subject}/versions/{version}", named, seen)
        return self.fastavro.parse_schema(json.loads(found["schema"]), named)


class ProtobufDecoder:
    """Decodes by the generated class of KAFKA_PROTOBUF_MESSAGE, whatever the schema id."""

    def __init__(self) -> None:
        module, _, name = conf.protobuf_message.partition(":")
        try:
            self.message: Any = getattr(import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise KafkaRefused(
                "KAFKA_PROTOBUF_MESSAGE must be a generated class, as feed.ticks_pb2:Tick, "
                f"got {conf.protobuf_message!r}"
            ) from error

    def __call__(self, number: int, record: bytes) -> dict[str, Any]:
        message = self.message()
        message.ParseFromString(record[message_offset(record) :])
        return fields_of(message)


def fields_of(message: Any) -> dict[str, Any]:
    """Return the fields that are set or track no presence; 64-bit numbers stay numbers."""
    values: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        if field.has_presence and not message.HasField(field.name):
            continue
        value = getattr(message, field.name)
        if field.message_type is None:
            values[field.name] = value if isinstance(value, str | int | float) else list(value)
        elif hasattr(value, "DESCRIPTOR"):
            values[field.name] = fields_of(value)
    return values


def message_offset(record: bytes) -> int:
    """Return where the message begins, after the path of its type in the schema's file."""
    count, at = zigzag_varint(record, 0)
    for _ in range(count):
        _, at = zigzag_varint(record, at)
    return at


def zigzag_varint(data: bytes, at: int) -> tuple[int, int]:
    """Return a zigzag varint and the offset of its end."""
    number = shift = 0
    while True:
        byte = data[at]
        number |= (byte & 0x7F) << shift
        shift += 7
        at += 1
        if byte < 0x80:
            return (number >> 1) ^ -(number & 1), at
        if shift > 63:
            raise BadTick("the path of the message's type does not end")
