"""The reader of a deployment's messages: its value format, its fields, its instruments."""

from collections.abc import Callable

from instruments.conf import conf as instruments_conf
from instruments.index import index
from quotes.kafka.conf import conf
from quotes.kafka.fields import FieldMap, TopicMessage, TopicTick, read_message, read_usual
from quotes.store.listings import AcceptedNames, read_master


class MessageReader:
    """Reads messages as ticks of instruments that the bridge accepts.

    Args:
        read: reads a message as a tick.
    """

    def __init__(self, read: Callable[..., TopicTick] = read_message) -> None:
        self.read = read
        self._names = AcceptedNames()
        self._accepted = self._names.accepted

    def __call__(self, message: TopicMessage, now_ms: int, ahead_ms: int = 0) -> TopicTick:
        """Return the tick of a message.

        Raises:
            BadTick: it is not a tick, or one that the bridge refuses.
            InstrumentsError: its name fits no instrument, or more than one.
        """
        found = self.read(message, now_ms=now_ms, ahead_ms=ahead_ms)
        self._names.check(found.name, found.tick)
        return found

    def quick(self, value: bytes, latest_ms: int) -> tuple[str, int] | None:
        """Return name and timestamp of a value in the contract's usual layout, or None."""
        if self.read is not read_message:
            return None
        usual = read_usual(value, latest_ms)
        return usual if usual is not None and usual[0] in self._accepted else None

    def forget_names(self) -> None:
        """Check all names again, after the instrument master has changed."""
        self._names.clear()


def deployed_reader() -> MessageReader:
    """Return the reader that the settings describe; raise KafkaRefused if they are wrong."""
    read: Callable[..., TopicTick] = read_message
    if conf.fields:
        read = FieldMap(conf.fields, unit=conf.timestamp_unit)
    if conf.value_format != "json":
        from quotes.kafka.schemas import decoded_values

        read = decoded_values(read)
    reader = MessageReader(read)
    read_master()
    if instruments_conf.follow_master:
        index.follow(reader.forget_names)
    return reader
