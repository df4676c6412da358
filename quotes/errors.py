"""Errors of the quotes app.

QuotesError
├── BadHistoryFile   400  a file of history, or a row of it, cannot be read
├── BadHistoryQuery  400  a question about history that cannot be, or is too large
├── BadInterval      400  the name of no interval of candles
├── BadRecording     400  a file of recorded ticks, or a row of it, cannot be read
├── BadRetention     400  a rule of how long history is kept is none
├── BadTick          400  what was published is no tick; the text says why
├── FormatMissing    406  a format that needs a package that is not installed
├── InboxFull        503  no bridge takes what publishers have sent
├── KafkaDown        503  brokers do not take or give what they are asked
├── KafkaRefused     400  Kafka is asked for and is not installed, or set up wrongly
├── PositionMoved    409  somebody else has put the messages of a source into the inbox
├── ProtocolError         a client's message cannot be carried out; `code` says why
├── ReplayRefused    400  a replay that is asked for wrongly, or that nobody would see
└── HistoryDown      503  the database of history does not answer
"""

from instruments.errors import quoted

__all__ = [
    "BadHistoryFile",
    "BadHistoryQuery",
    "BadInterval",
    "BadRecording",
    "BadRetention",
    "BadTick",
    "FormatMissing",
    "HistoryDown",
    "InboxFull",
    "KafkaDown",
    "KafkaRefused",
    "PositionMoved",
    "ProtocolError",
    "QuotesError",
    "ReplayRefused",
    "quoted",
]


class QuotesError(Exception):
    """Base of the app's errors; `code` is stable and is what clients see."""

    code = 500


class BadHistoryFile(QuotesError, ValueError):
    """A file of history, or a row of it, cannot be read."""

    code = 400


class BadHistoryQuery(QuotesError, ValueError):
    """A question about history cannot be, or asks for too much."""

    code = 400


class BadInterval(QuotesError, ValueError):
    """The name of no interval of candles."""

    code = 400


class BadRecording(QuotesError, ValueError):
    """A file of recorded ticks, or a row of it, cannot be read."""

    code = 400


class BadRetention(QuotesError, ValueError):
    """A rule of how long history is kept is none."""

    code = 400


class BadTick(QuotesError, ValueError):
    """What was published is no tick."""

    code = 400


class ProtocolError(QuotesError):
    """A client's message cannot be carried out; the connection stays open."""

    def __init__(self, code: int, message: str, *, id: str | int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.id = id


class ReplayRefused(QuotesError, ValueError):
    """A replay is asked for wrongly, or nobody would see it."""

    code = 400


class FormatMissing(QuotesError):
    """A format needs a package that is not installed."""

    code = 406


class InboxFull(QuotesError):
    """So many ticks wait for a bridge that Redis takes no more."""

    code = 503

    def __init__(self, most: int) -> None:
        super().__init__(
            f"{most} ticks wait for a bridge already: start `manage.py bridge_prices` "
            "(or raise QUOTES_INBOX_MAX_TICKS)"
        )


class HistoryDown(QuotesError):
    """The database of history does not answer, or refuses what it is asked."""

    code = 503


class PositionMoved(QuotesError):
    """What a source's position in Redis is, is not what the publisher took it for.

    None of the batch was put. Redis lost its memory, or another consumer has the partition.
    """

    code = 409


class KafkaRefused(QuotesError, ValueError):
    """Kafka is asked for, and its client is not installed or a setting is wrong."""

    code = 400


class KafkaDown(QuotesError):
    """The brokers do not take, or do not give, what they are asked."""

    code = 503
