"""What reads the messages of a deployment: by its value format, its fields, its instruments."""

from collections.abc import Callable

from instruments.conf import conf as instruments_conf
from instruments.index import index
from quotes.kafka.conf import conf
from quotes.kafka.fields import FieldMap, Message, Reading, read_message, read_usual

# More names than this are a publisher gone wild; the bridge takes no more either.
MAX_NAMES = 500_000


class Reader:
    """Reads messages as ticks of instruments that there can be.

    Args:
        read: reads a message as a tick.
    """

    def __init__(self, read: Callable[..., Reading] = read_message) -> None:
        self.read = read
        self.known: set[str] = set()

    def __call__(self, message: Message, now_ms: int) -> Reading:
        """Return the tick of a message.

        Raises:
            BadTick: it is none.
            InstrumentsError: no instrument, or more than one, can be meant by its name.
        """
        reading = self.read(message, now_ms=now_ms)
        if reading.name not in self.known:
            self.learn(reading.name)
        return reading

    def quick(self, value: bytes, now_ms: int) -> tuple[str, int] | None:
        """Return name and timestamp of a value in the contract's usual layout, or None."""
        if self.read is not read_message:
            return None
        usual = read_usual(value, now_ms)
        return usual if usual is not None and usual[0] in self.known else None

    def learn(self, name: str) -> None:
        index.resolve(name)
        if len(self.known) >= MAX_NAMES:
            self.known.clear()
        self.known.add(name)


def deployed_reader() -> Reader:
    """Return the reader that the settings ask for; raise KafkaRefused if they can't be followed."""
    read: Callable[..., Reading] = read_message
    if conf.fields:
        read = FieldMap(conf.fields, unit=conf.timestamp_unit)
    if conf.value_format != "json":
        from quotes.kafka.schemas import decoding

        read = decoding(read)
    reader = Reader(read)
    if instruments_conf.follow_master:
        index.refresh()
        index.follow(reader.known.clear)
    return reader
