"""The reader of a deployment's messages: its value format, its fields, its instruments."""

from collections.abc import Callable

from instruments.conf import conf as instruments_conf
from instruments.index import index
from quotes.kafka.conf import conf
from quotes.kafka.fields import FieldMap, TopicMessage, TopicTick, read_message, read_usual
from quotes.store.listings import published_key

# The bridge takes no more names either: more come from a faulty publisher.
MAX_NAMES = 500_000


class MessageReader:
    """Reads messages as ticks of instruments that the bridge accepts.

    Args:
        read: reads a message as a tick.
    """

    def __init__(self, read: Callable[..., TopicTick] = read_message) -> None:
        self.read = read
        # Names whose symbol is the name, and pairs of name and symbol of all others.
        self._accepted: set[str | tuple[str, str]] = set()

    def __call__(self, message: TopicMessage, now_ms: int, ahead_ms: int = 0) -> TopicTick:
        """Return the tick of a message.

        Raises:
            BadTick: it is not a tick, or one that the bridge refuses.
            InstrumentsError: its name fits no instrument, or more than one.
        """
        found = self.read(message, now_ms=now_ms, ahead_ms=ahead_ms)
        name, tick = found.name, found.tick
        accepted = name if tick is None or tick.symbol == name else (name, tick.symbol)
        if accepted not in self._accepted:
            if tick is None:
                index.resolve(name)
            else:
                published_key(name, tick)
            self._accept(accepted)
        return found

    def quick(self, value: bytes, latest_ms: int) -> tuple[str, int] | None:
        """Return name and timestamp of a value in the contract's usual layout, or None."""
        if self.read is not read_message:
            return None
        usual = read_usual(value, latest_ms)
        return usual if usual is not None and usual[0] in self._accepted else None

    def forget_names(self) -> None:
        """Check all names again, after the instrument master has changed."""
        self._accepted.clear()

    def _accept(self, name: str | tuple[str, str]) -> None:
        if len(self._accepted) >= MAX_NAMES:
            self._accepted.clear()
        self._accepted.add(name)


def deployed_reader() -> MessageReader:
    """Return the reader that the settings describe; raise KafkaRefused if they are wrong."""
    read: Callable[..., TopicTick] = read_message
    if conf.fields:
        read = FieldMap(conf.fields, unit=conf.timestamp_unit)
    if conf.value_format != "json":
        from quotes.kafka.schemas import decoded_values

        read = decoded_values(read)
    reader = MessageReader(read)
    if instruments_conf.follow_master:
        index.refresh()
        index.follow(reader.forget_names)
    return reader
