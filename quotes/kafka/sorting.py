"""Sorting messages into live ticks, history and refused messages.

Pure: no I/O. Within a partition the order is kept: its history comes before its live ticks.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from instruments.errors import InstrumentsError
from quotes.errors import BadTick
from quotes.kafka.fields import TopicMessage
from quotes.kafka.message_reader import MessageReader
from quotes.kafka.stored_offsets import Source, position_field
from quotes.store.inbox import Advance

if TYPE_CHECKING:
    from confluent_kafka import Message as KafkaMessage


class InboxPut(NamedTuple):
    """Ticks, as names and frames, to put into the inbox in one step with new positions."""

    ticks: list[tuple[str, bytes]]
    advances: list[Advance]
    live: bool


class Partition:
    """A partition that this consumer reads.

    Attributes:
        stored: the position in Redis, "" for none.
        next: the offset of the next message, or OFFSET_BEGINNING or OFFSET_END.
        newest_ms: the time of the last message read, Unix milliseconds; 0 for none.
    """

    __slots__ = ("field", "newest_ms", "next", "source", "stored")

    def __init__(self, source: Source, stored: str, next: int) -> None:
        self.source = source
        self.field = position_field(source)
        self.stored = stored
        self.next = next
        self.newest_ms = 0


class RefusedMessage(NamedTuple):
    """A message that is not a tick, and why."""

    message: "KafkaMessage"
    reason: str


@dataclass
class SortedBatch:
    """Messages sorted into history, live ticks and refused ones, and the offsets after them."""

    history: list[tuple[str, bytes]] = field(default_factory=list)
    live: list[tuple[str, bytes]] = field(default_factory=list)
    refused: list[RefusedMessage] = field(default_factory=list)
    between: dict[Partition, int] = field(default_factory=dict)  # the offset after its history
    ends: dict[Partition, int] = field(default_factory=dict)  # the offset after all of it
    newest: dict[Partition, int] = field(default_factory=dict)

    def puts(self) -> Iterator[InboxPut]:
        """Yield the steps in which to put the batch into the inbox, in order."""
        stored = {partition: partition.stored for partition in self.ends}
        if self.history:
            advances = []
            for partition, offset in self.between.items():
                advances.append(Advance(partition.field, stored[partition], str(offset)))
                stored[partition] = str(offset)
            yield InboxPut(self.history, advances, live=False)
        advances = [
            Advance(partition.field, stored[partition], str(offset))
            for partition, offset in self.ends.items()
            if stored[partition] != str(offset)
        ]
        if self.live or advances:
            yield InboxPut(self.live, advances, live=True)

    def mark_stored(self) -> None:
        """Move the partitions to the offsets after the batch, once Redis has all of it."""
        for partition, offset in self.ends.items():
            partition.stored = str(offset)
            partition.next = offset
            partition.newest_ms = self.newest[partition]


def sort_messages(
    messages: Sequence["KafkaMessage"],
    partitions: Mapping[Source, Partition],
    *,
    read: MessageReader,
    now_ms: int,
    ahead_ms: int,
    live_since: int,
) -> SortedBatch:
    """Sort messages; those of partitions that were revoked meanwhile are ignored.

    Args:
        partitions: the partitions that the consumer has.
        ahead_ms: how far ahead of `now_ms` a tick may be.
        live_since: older messages are history, Unix milliseconds.
    """
    batch = SortedBatch()
    quick, latest_ms = read.quick, now_ms + ahead_ms
    live, history = batch.live, batch.history
    ends, between, newest = batch.ends, batch.between, batch.newest
    shown: set[Partition] = set()
    for message in messages:
        partition = partitions.get((message.topic(), message.partition()))  # type: ignore[arg-type]
        if partition is None:
            continue
        offset: int = message.offset()  # type: ignore[assignment]
        kind, at = message.timestamp()
        ends[partition] = offset + 1
        value = message.value()
        if value is None:
            continue  # a tombstone deletes its key and carries no price
        if (usual := quick(value, latest_ms)) is not None:
            name, timestamp = usual
            frame = value
        else:
            try:
                name, frame, timestamp, _ = read(
                    TopicMessage(value, message.key(), message.headers() or (), at if kind else 0),  # type: ignore[arg-type]
                    now_ms,
                    ahead_ms,
                )
            except (BadTick, InstrumentsError) as error:
                batch.refused.append(RefusedMessage(message, str(error)))
                continue
        newest[partition] = at = at if kind else timestamp
        if at >= live_since or partition in shown:
            shown.add(partition)
            live.append((name, frame))
        else:
            between[partition] = offset + 1
            history.append((name, frame))
    for partition in ends:
        newest.setdefault(partition, partition.newest_ms)
    return batch
