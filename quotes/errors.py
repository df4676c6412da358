"""Errors of the quotes app.

QuotesError
├── BackupBusy       409  another backup is being made in the folder
├── BadBackup        400  a backup is damaged, or of a version that cannot be read
├── BadHistoryFile   400  a file of history, or a row of it, cannot be read
├── BadHistoryQuery  400  a request for history is invalid or too large
├── BadInterval      400  an interval of candles does not exist
├── BadRecording     400  a file of recorded ticks, or a row of it, cannot be read
├── BadRetention     400  a rule for keeping history is invalid
├── BadTick          400  a message is not a valid tick; the text says why
├── FormatMissing    406  a format needs a package that is not installed
├── InboxFull        503  too many ticks wait for a bridge
├── KafkaDown        503  the brokers of Kafka do not answer, or refuse a request
├── KafkaRefused     400  the Kafka client is not installed, or a setting is wrong
├── PositionMoved    409  another process has advanced the position of a source
├── ProtocolError         a client's message cannot be carried out; `code` says why
├── ReplayRefused    400  the options of a replay are wrong, or no client would see it
├── RestoreRefused   409  what is there would be lost, or a process still works on it
└── HistoryDown      503  the database of history does not answer
"""

from collections.abc import Sequence

from instruments.errors import quoted

__all__ = [
    "BackupBusy",
    "BadBackup",
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
    "RestoreRefused",
    "quoted",
]


class QuotesError(Exception):
    """Base of the app's errors; `code` is stable and is what clients see."""

    code = 500


class BackupBusy(QuotesError):
    """Another backup is being made in the folder."""

    code = 409


class BadBackup(QuotesError, ValueError):
    """A backup is damaged, incomplete, or of a version that cannot be read."""

    code = 400


class BadHistoryFile(QuotesError, ValueError):
    """A file of history, or a row of it, cannot be read."""

    code = 400


class BadHistoryQuery(QuotesError, ValueError):
    """A request for history is invalid or too large."""

    code = 400


class BadInterval(QuotesError, ValueError):
    """An interval of candles does not exist."""

    code = 400


class BadRecording(QuotesError, ValueError):
    """A file of recorded ticks, or a row of it, cannot be read."""

    code = 400


class BadRetention(QuotesError, ValueError):
    """A rule for keeping history is invalid."""

    code = 400


class BadTick(QuotesError, ValueError):
    """A message is not a valid tick."""

    code = 400


class ProtocolError(QuotesError):
    """A client's message cannot be carried out; the connection stays open."""

    def __init__(
        self,
        code: int,
        message: str,
        *,
        id: str | int | None = None,
        warnings: Sequence[str] = (),
    ) -> None:
        super().__init__(message)
        self.code = code
        self.id = id
        self.warnings = warnings


class ReplayRefused(QuotesError, ValueError):
    """The options of a replay are wrong, or no client would see it."""

    code = 400


class RestoreRefused(QuotesError):
    """A restore would lose what is there, or a process still works on it; nothing was written."""

    code = 409


class FormatMissing(QuotesError):
    """A format needs a package that is not installed."""

    code = 406


class InboxFull(QuotesError):
    """The inbox is full: too many ticks wait for a bridge."""

    code = 503

    def __init__(self, most: int) -> None:
        super().__init__(
            "start `manage.py bridge_prices`, or raise QUOTES_INBOX_MAX_TICKS: "
            f"{most} ticks wait for a bridge"
        )


class HistoryDown(QuotesError):
    """The database of history does not answer, or refuses a statement."""

    code = 503


class PositionMoved(QuotesError):
    """The position of a source in Redis is not the one that the publisher expects.

    Nothing of the batch was stored. Redis lost its data, or another consumer has the partition.
    """

    code = 409


class KafkaRefused(QuotesError, ValueError):
    """The Kafka client is not installed, or a setting is wrong."""

    code = 400


class KafkaDown(QuotesError):
    """The brokers of Kafka do not answer, or refuse a request."""

    code = 503
