"""Keeping credentials out of every log of the process, of all libraries and handlers.

A record is redacted when it is made, before any handler or formatter sees it: servers configure
loggers of their own.
"""

import logging
import re
from typing import Any

_HIDDEN = "[hidden]"
_KEPT = r"\1[hidden]"
_SECRETS = re.compile(
    r"""(?ix)
    (?: (?<= token=) | (?<= ticket=) | (?<= apikey=) | (?<= api_key=) ) [^&\s"'<>]+
    | (?: (?<= bearer\.) | (?<= bearer\ ) | (?<= api-key\ ) ) [A-Za-z0-9._~+/=%-]+
    | (?<= bearer%20) [A-Za-z0-9._~+/=%-]+
    | \beyJ [A-Za-z0-9_-]{8,} \. [A-Za-z0-9_-]* (?: \. [A-Za-z0-9_-]* )?
    | (?<= [?&]key=) [^&\s"'<>]+
    | (?<= [?&]sid=) [^&\s"'<>]+
    | \blp (?: _ | %5F ) [0-9a-f]{12} (?: _ | %5F ) [A-Za-z0-9_%-]+
    | (?<= "apikey":") [^"]+ | (?<= "apikey":\ ") [^"]+
    | (?<= "api_key":") [^"]+ | (?<= "api_key":\ ") [^"]+
    | (?<= "token":") [^"]+ | (?<= "refresh":") [^"]+ | (?<= "password":") [^"]+
    """
)
# What stands before a credential, which stays: the name of a header or a field.
_AFTER_NAME = re.compile(
    r"""(?ix)
    (
        (?: proxy- )? authorization ["']? \s* [:,=] \s* (?: b? ["'] )?
        (?: (?: basic | bearer | digest | token | api-key ) \s+ )?
      | (?: set- )? cookie ["']? \s* [:,] \s* (?: b? ["'] )?
      | \b x-api-key ["']? \s* [:,] \s* (?: b? ["'] )?
      | ["'] (?: token | access | refresh | ticket | api_?key | password | secret | access_token
            | refresh_token | secret_key ) ["'] \s* [:,] \s* b? ["']
      | \b (?: password | passwd | secret | secret_key | access_token | refresh_token | sessionid
            | csrftoken | api[_-]secret | [a-z_]+_token | sasl[._]password ) =
    )
    ( [^\s"'&<>;,]+ )
    """
)
# Of a URL with a user, which may be empty: redis://:secret@host.
_URL_PASSWORD = re.compile(r"(?i)(\b[a-z][a-z0-9+.-]*://[^\s/:@\"'<>]*:)[^\s/\"'<>]+(?=@)")
_formatter = logging.Formatter()


def scrub(text: str) -> str:
    """Return a text in which everything that looks like a credential is hidden."""
    text = _URL_PASSWORD.sub(_KEPT, text)
    return _AFTER_NAME.sub(_KEPT, _SECRETS.sub(_HIDDEN, text))


def _clean(record: logging.LogRecord) -> logging.LogRecord:
    """Hide credentials in a record's message, arguments and traceback."""
    if isinstance(record.args, tuple):
        record.args = tuple(scrub(one) if isinstance(one, str) else one for one in record.args)
    elif isinstance(record.args, dict):
        record.args = {
            name: scrub(one) if isinstance(one, str) else one for name, one in record.args.items()
        }
    try:
        message = record.getMessage()
    except Exception:
        return record  # a wrong call: logging reports it itself, without the arguments
    if (cleaned := scrub(message)) != message:
        record.msg, record.args = cleaned, ()
    if record.exc_info and record.exc_info[0] is not None:
        text = _formatter.formatException(record.exc_info)
        if (cleaned := scrub(text)) != text:
            record.exc_text, record.exc_info = cleaned, None
    return record


class CleanRecord(logging.LogRecord):
    """A log record without credentials."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _clean(self)


def install() -> None:
    """Redact every record that this process makes from now on."""
    logging.setLogRecordFactory(CleanRecord)
