"""The lines of the log: one format for people, and JSON for machines (QUOTES_LOG_FORMAT=json).

A record is one line, however its text was made: what a client sends cannot begin a line of its own.
Credentials are hidden (`redaction.py`), and many lines of one kind are limited (`log_limits.py`).
"""

import json
import logging
import os
import re
import sys
import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from quotes.conf import conf
from quotes.runtime.identity import identity
from quotes.runtime.log_limits import LineLimits
from quotes.runtime.redaction import scrub

# Extra attributes of a record that are shown: an id of a connection, its close code, its door.
FIELDS = ("client", "close_code", "door")
COUNTERS_LOGGER = "quotes.counters"
# A line of JSON is at most about this long, so that no reader of lines cuts it.
_MAX_TEXT = 3000
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}
# Ends of lines to some readers, and what no stream takes.
_CONTROLS |= {code: f"\\u{code:04x}" for code in (0x2028, 0x2029, *range(0xD800, 0xE000))}
_CONTROLS |= {ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\t"}
_COUNTER = re.compile(r"(?<!\S)([a-z]\w*)=(-?\d+(?:\.\d+)?)(?!\S)")

# level -> lines written since the start
lines: Counter[str] = Counter()


class TextFormatter(logging.Formatter):
    """Time, level, logger and message; then what is known of the client; then a traceback."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        text = super().formatMessage(record).translate(_CONTROLS)
        fields = [f"{name}={value}" for name, value in _fields(record).items()]
        return scrub(f"{text} [{' '.join(fields)}]" if fields else text)


class JsonFormatter(logging.Formatter):
    """One object on a line; docs/logs.md lists its keys."""

    def format(self, record: logging.LogRecord) -> str:
        values: dict[str, Any] = {"message": _cut(scrub(record.getMessage())), **_fields(record)}
        if counters := getattr(record, "counters", None):
            values["counters"] = counters
        if record.exc_text is None and record.exc_info and record.exc_info[0] is not None:
            record.exc_text = self.formatException(record.exc_info)
        if record.exc_text:
            values["exception"] = _cut(scrub(record.exc_text))
        if record.stack_info:
            values["stack"] = _cut(scrub(record.stack_info))
        return json_line(
            record.created, record.levelname, record.name, process=identity.kind, **values
        )


def json_line(at: float, level: str, logger: str, *, process: str, **values: Any) -> str:
    """Return a line of JSON.

    Args:
        at: Unix seconds.
        process: the kind of process.
    """
    time = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    own = {"worker": identity.worker, "shard": identity.shard} if process == identity.kind else {}
    return json.dumps(
        {
            "time": time.replace("+00:00", "Z"),
            "level": level,
            "logger": logger,
            "process": process,
            **{name: value for name, value in own.items() if value},
            "pid": os.getpid(),
            **values,
        },
        default=str,
    )


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    found = {name: getattr(record, name, None) for name in FIELDS}
    return {
        name: value if isinstance(value, int) else scrub(str(value))
        for name, value in found.items()
        if value not in (None, "")
    }


def _cut(text: str) -> str:
    """Return a text of bounded length; of a long one, its beginning and its end."""
    if len(text) <= _MAX_TEXT:
        return text
    half = _MAX_TEXT // 2
    return f"{text[:half]}... {len(text) - 2 * half} characters cut ...{text[-half:]}"


class LogHandler(logging.StreamHandler[Any]):
    """Writes lines to stderr in the format of QUOTES_LOG_FORMAT, and counts them by level."""

    def __init__(self) -> None:
        super().__init__()
        self._limits = LineLimits()
        self.setFormatter(JsonFormatter() if is_json() else TextFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        lines[record.levelname] += 1
        is_allowed, left_out = self._limits.take(record)
        if left_out:
            text = f"{left_out} more lines like the next"
            about = {"name": record.name, "levelno": record.levelno, "levelname": record.levelname}
            super().emit(logging.makeLogRecord({**about, "msg": text}))
        if is_allowed:
            super().emit(record)


def is_json() -> bool:
    """Return whether the log is for machines."""
    return conf.log_format == "json"


def counters_reporter(write: Callable[[str], object]) -> Callable[[str], None]:
    """Return what reports a line of counters: by `write`, or as JSON with them as numbers."""
    if not is_json():
        return lambda text: _discard(write(text))
    logger = logging.getLogger(COUNTERS_LOGGER)

    def report(text: str) -> None:
        counters = {name: float(value) for name, value in _COUNTER.findall(text)}
        whole = {name: int(one) if one.is_integer() else one for name, one in counters.items()}
        logger.info("%s", text, extra={"counters": whole})

    return report


def _discard(result: object) -> None:
    """Let a function whose result nobody needs be one that returns nothing."""


def log_uncaught() -> None:
    """Log what ends the process or a thread, if the log is for machines; Python would print it."""
    if not is_json():
        return
    logger = logging.getLogger("quotes")

    def uncaught(kind: Any, error: Any, traceback: Any) -> None:
        if issubclass(kind, KeyboardInterrupt):
            return
        logger.critical("ended by an error", exc_info=(kind, error, traceback))

    def uncaught_in_thread(args: Any) -> None:
        if not issubclass(args.exc_type, SystemExit):
            name = args.thread.name if args.thread is not None else "?"
            info = (args.exc_type, args.exc_value, args.exc_traceback)
            logger.error("a thread (%s) was ended by an error", name, exc_info=info)

    sys.excepthook = uncaught
    threading.excepthook = uncaught_in_thread
    logging.captureWarnings(True)
