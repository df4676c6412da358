"""The lines of the log: one for a record, in both formats, without credentials, not too many."""

import io
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from quotes.runtime import log_lines
from quotes.runtime.log_limits import LineLimits
from quotes.runtime.log_lines import JsonFormatter, LogHandler, TextFormatter, counters_reporter
from quotes.runtime.redaction import CleanRecord

SECRET = "s3cret-Token.Value_1"
HIDDEN = (
    f"GET /live-price?token={SECRET}&x=1",
    f"ticket={SECRET}",
    f"Authorization: Bearer {SECRET}",
    f"authorization: Basic {SECRET}",
    f"(b'authorization', b'Api-Key {SECRET}')",
    f"(b'cookie', b'sessionid={SECRET}')",
    f"Sec-WebSocket-Protocol: live-price, bearer.{SECRET}",
    f"redis://:{SECRET}@redis.example:6379/0 does not answer",
    f"rediss://default:{SECRET}@h:6380",
    f"redis+sentinel://user:{SECRET}@a:26379,b:26379/main",
    f"postgres://prices:{SECRET}@db/prices",
    f"{{'token': '{SECRET}'}}",
    f'{{"password": "{SECRET}"}}',
    f"KITE_ACCESS_TOKEN={SECRET}",
    f"sasl.password={SECRET}",
    f"X-Api-Key: {SECRET}",
)
KEPT = (
    "the token has expired: connect again",
    "http://localhost:5000/metrics",
    "2 of 3 connections up; 1,000 ticks published",
    "redis://localhost:6379/0 does not answer",
)


class Log:
    """A logger whose lines are read as a machine or a person would."""

    def __init__(self, logger: logging.Logger, stream: io.StringIO) -> None:
        self.logger = logger
        self._stream = stream

    @property
    def lines(self) -> list[str]:
        return self._stream.getvalue().splitlines()

    @property
    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


@pytest.fixture(params=["text", "json"])
def log(request: pytest.FixtureRequest, settings: Any) -> Iterator[Log]:
    """A logger with the handler of the project, in one format."""
    settings.QUOTES_LOG_FORMAT = request.param
    stream = io.StringIO()
    handler = LogHandler()
    handler.setStream(stream)
    logger = logging.getLogger("quotes.test-of-lines")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    before = logging.getLogRecordFactory()
    logging.setLogRecordFactory(CleanRecord)
    yield Log(logger, stream)
    logging.setLogRecordFactory(before)
    logger.removeHandler(handler)
    logger.propagate = True


@pytest.mark.parametrize("text", HIDDEN)
def test_no_credential_is_in_a_line(log: Log, text: str) -> None:
    """Not in the text, an argument, an extra attribute or a traceback, in either format."""
    log.logger.warning(text.replace("%", "%%"))
    log.logger.warning("failed: %s %r", text, [text])
    log.logger.warning("a client", extra={"client": text})
    try:
        raise ValueError(text)
    except ValueError:
        log.logger.exception("failed")
    assert len(log.lines) >= 4
    assert SECRET not in "\n".join(log.lines)


@pytest.mark.parametrize("text", KEPT)
def test_other_text_is_kept(log: Log, text: str) -> None:
    """Nothing is hidden of what is no credential."""
    log.logger.warning("%s", text)
    assert text in log.lines[0]


def test_a_record_is_one_line(log: Log) -> None:
    """What a client sends cannot begin a line of its own, or control a terminal."""
    log.logger.warning("bad symbol %s", "X\n2026-01-01 ERROR forged\r\x1b[31m\u2028")
    log.logger.warning("%s", "long " * 10_000)
    assert len(log.lines) == 2
    assert "\x1b" not in log.lines[0]


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()], ids=["text", "json"])
def test_any_text_can_be_written(formatter: logging.Formatter) -> None:
    """A half of a character, as JSON can hold it, stops no line."""
    record = logging.makeLogRecord({"msg": "bad symbol %s", "args": ("\ud800",)})
    assert "ud800" in formatter.format(record).encode().decode()


def test_the_client_and_its_close_code_are_shown(log: Log) -> None:
    """Extra attributes are keys of the object, or stand behind the text."""
    log.logger.info("closed", extra={"client": "a1.7", "close_code": 4408, "door": "kite"})
    if log.lines[0].startswith("{"):
        found = log.objects[0]
        assert (found["client"], found["close_code"], found["door"]) == ("a1.7", 4408, "kite")
    else:
        assert log.lines[0].endswith("closed [client=a1.7 close_code=4408 door=kite]")


@pytest.mark.parametrize("log", ["json"], indirect=True)
def test_an_object_says_when_where_and_what(log: Log) -> None:
    """Each line has the same keys; a long text or traceback is cut, so that no reader cuts it."""
    try:
        raise ValueError("x" * 50_000)
    except ValueError:
        log.logger.exception("failed %d times", 3)
    found = log.objects[0]
    assert found["time"].endswith("Z") and "T" in found["time"]
    assert (found["level"], found["logger"]) == ("ERROR", log.logger.name)
    assert found["message"] == "failed 3 times"
    assert "ValueError" in found["exception"] and found["process"] and found["pid"]
    assert len(log.lines[0]) < 8192


def test_lines_of_one_kind_are_limited(log: Log) -> None:
    """A client that causes a line with each request cannot fill the disk."""
    for number in range(500):
        log.logger.warning("Not Found: %s", f"/{number}")
    assert len(log.lines) == 20
    for number in range(500):
        log.logger.warning(f"each has a text of its own: {number}")
    assert len(log.lines) == 200


def test_what_was_left_out_is_counted() -> None:
    """The next line after a window says how many were left out; other kinds are not affected."""
    now = 0.0
    limits = LineLimits(clock=lambda: now)

    def take(text: str, level: int = logging.WARNING) -> tuple[bool, int]:
        return limits.take(logging.LogRecord("x", level, "f", 1, text, (), None))

    assert [take("a")[0] for _ in range(25)] == [True] * 20 + [False] * 5
    assert take("b") == (True, 0)
    assert take("a", logging.DEBUG) == (True, 0)
    now = 11.0
    assert take("a") == (True, 5)
    assert take("a") == (True, 0)


def test_counters_are_numbers_for_machines(settings: Any, caplog: Any) -> None:
    """A line of counters is printed for people, and logged with its numbers for machines."""
    printed: list[str] = []
    counters_reporter(printed.append)("received=3 lag_s=0.5 waiting: no broker")
    assert printed == ["received=3 lag_s=0.5 waiting: no broker"]
    settings.QUOTES_LOG_FORMAT = "json"
    with caplog.at_level(logging.INFO):
        counters_reporter(printed.append)("received=3 lag_s=0.5 waiting: no broker")
    assert caplog.records[-1].counters == {"received": 3, "lag_s": 0.5}


def test_what_ends_the_process_is_logged(
    settings: Any, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a log for machines an uncaught error is a record; in one for people Python prints it."""
    before = sys.excepthook
    monkeypatch.setattr(sys, "excepthook", before)
    monkeypatch.setattr("threading.excepthook", before)
    log_lines.log_uncaught()
    assert sys.excepthook is before
    settings.QUOTES_LOG_FORMAT = "json"
    log_lines.log_uncaught()
    logging.captureWarnings(False)
    sys.excepthook(ValueError, ValueError("x"), None)
    assert caplog.records[-1].levelname == "CRITICAL"
