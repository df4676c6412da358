"""Batches of messages, sorted: what is shown, what is history, what is no tick.

Pure: no I/O. Within a partition the order is kept: what is history comes before what is shown.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from instruments.errors import InstrumentsError
from quotes.errors import BadTick
from quotes.kafka import stored_offsets as positions
from quotes.kafka.fields import Message, Reading
from quotes.kafka.stored_offsets import Source
from quotes.store.inbox import Advance

if TYPE_CHECKING:
    from confluent_kafka import Message as KafkaMessage


class Read(Protocol):
    """What reads messages as ticks."""

    def quick(self, value: bytes, now_ms: int) -> tuple[str, int] | None:
        """Return the name and time of a value that is its own frame, as nearly all are, or None."""

    def __call__(self, message: Message, now_ms: int) -> Reading:
        """Return the tick of any message.

        Raises:
            BadTick, InstrumentsError: it is none.
        """


Put = tuple[list[tuple[str, bytes]], list[Advance], bool]  # ticks, positions, whether live


class Partition:
    """A partition that this consumer reads.

    Attributes:
        stored: the position that Redis has, "" for none.
        next: the offset of the next message, or a place as Kafka's clients number them.
        newest_ms: the time of the last message that was read, Unix milliseconds; 0 for none.
    """

    __slots__ = ("field", "newest_ms", "next", "source", "stored")

    def __init__(self, source: Source, stored: str, next: int) -> None:
        self.source = source
        self.field = positions.field(source)
        self.stored = stored
        self.next = next
        self.newest_ms = 0


class Poison(NamedTuple):
    """A message that is no tick, and why."""

    message: "KafkaMessage"
    reason: str


@dataclass
class Batch:
    """What is to be put, in this order, and where the partitions stand then."""

    history: list[tuple[str, bytes]] = field(default_factory=list)
    live: list[tuple[str, bytes]] = field(default_factory=list)
    poison: list[Poison] = field(default_factory=list)
    between: dict[Partition, int] = field(default_factory=dict)  # behind its history
    ends: dict[Partition, int] = field(default_factory=dict)  # behind all of it
    newest: dict[Partition, int] = field(default_factory=dict)

    def puts(self) -> Iterable[Put]:
        """Yield what is to be put in one step, and whether it is to be shown."""
        stored = {partition: partition.stored for partition in self.ends}
        if self.history:
            advances = []
            for partition, offset in self.between.items():
                advances.append(Advance(partition.field, stored[partition], str(offset)))
                stored[partition] = str(offset)
            yield self.history, advances, False
        advances = [
            Advance(partition.field, stored[partition], str(offset))
            for partition, offset in self.ends.items()
            if stored[partition] != str(offset)
        ]
        if self.live or advances:
            yield self.live, advances, True

    def done(self) -> None:
        """Note that all of it is in Redis."""
        for partition, offset in self.ends.items():
            partition.stored = str(offset)
            partition.next = offset
            partition.newest_ms = self.newest[partition]


def sort(
    messages: Sequence["KafkaMessage"],
    partitions: dict[Source, Partition],
    *,
    read: Read,
    now_ms: int,
    live_since: int,
) -> Batch:
    """Sort messages of these partitions; those of others were taken away meanwhile.

    Args:
        live_since: what is older is history, Unix milliseconds.
    """
    batch = Batch()
    quick = read.quick
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
            continue  # a tombstone: the key has no value any more, which is no price
        if (usual := quick(value, now_ms)) is not None:
            name, timestamp = usual
            frame = value
        else:
            try:
                name, frame, timestamp = read(
                    Message(value, message.key(), message.headers() or (), at if kind else 0),  # type: ignore[arg-type]
                    now_ms,
                )
            except (BadTick, InstrumentsError) as error:
                batch.poison.append(Poison(message, str(error)))
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
