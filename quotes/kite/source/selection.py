"""Which instruments come from Kite: names, segments, a file, or the list in admin.

They are read again and again: the master, the file and the list change while a source runs.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from django.db import connection

from instruments.errors import InstrumentsError
from instruments.index import index
from instruments.keys import InstrumentKey
from instruments.vendors import token as token_of
from quotes.errors import QuotesError
from quotes.kite.models import KiteSubscription
from quotes.kite.packets import is_served
from quotes.kite.source.connection import Modes
from quotes.store.requested_names import resolve_names

_MAX_FILE_BYTES = 4 << 20
_KEPT_PROBLEMS = 20


class BadSelection(QuotesError, ValueError):
    """The instruments cannot be read; the text says why."""

    code = 400


@dataclass
class Selection:
    """What is to come from Kite.

    Attributes:
        modes: instrument token -> mode.
        keys: instrument token -> the instrument under which its ticks are published.
        problems: sentences about names that are left out; the first of them.
    """

    modes: Modes = field(default_factory=dict)
    keys: dict[int, InstrumentKey] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def add(self, key: InstrumentKey, mode: str, name: str) -> None:
        """Add an instrument, or report why it cannot come from Kite."""
        entry = index.describe(key)
        token = entry.instrument_token if entry is not None else None
        if token is None or not is_served(token):
            self.report(
                f"{name}: the instrument master has no Kite token of it: "
                "import today's dump (manage.py import_instruments)"
            )
            return
        self.modes[token] = mode
        self.keys[token] = key

    def report(self, problem: str) -> None:
        if len(self.problems) < _KEPT_PROBLEMS and problem not in self.problems:
            self.problems.append(problem)


@dataclass(frozen=True)
class Source:
    """Where the instruments come from.

    Attributes:
        names: names in any spelling, or instrument tokens.
        segments: codes of segments of which all instruments are wanted.
        file: names, one on a line, `#` begins a comment; None: no file.
        mode: of all but those of the list.
        has_list: whether the list in admin counts; each row has a mode of its own.
    """

    names: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()
    file: Path | None = None
    mode: str = "full"
    has_list: bool = False

    def read(self) -> Selection:
        """Return the instruments by the newest master; for threads.

        Raises:
            BadSelection: the file cannot be read.
            InstrumentsError: a segment does not exist.
            DatabaseError: the list cannot be read.
        """
        ours = connection.connection is None
        try:
            index.refresh()
            found = Selection()
            self._add_list(found)
            for code in self.segments:
                for segment in index.segments_of(code):
                    for entry in index.instruments(segment):
                        if entry.instrument_token:
                            found.add(entry.key, self.mode, str(entry.key))
            _add_names(found, [*self._file_names(), *self.names], self.mode)
            return found
        finally:
            if ours:
                connection.close()

    def _add_list(self, found: Selection) -> None:
        if not self.has_list:
            return
        by_mode: dict[str, list[str]] = {}
        rows = KiteSubscription.objects.filter(active=True)
        for name, mode in rows.values_list("instrument", "mode"):
            by_mode.setdefault(mode, []).append(name)
        for mode, names in by_mode.items():
            _add_names(found, names, mode)

    def _file_names(self) -> list[str]:
        if self.file is None:
            return []
        try:
            with self.file.open("rb") as file:
                data = file.read(_MAX_FILE_BYTES + 1)
            if len(data) > _MAX_FILE_BYTES:
                raise BadSelection(f"{self.file} is longer than {_MAX_FILE_BYTES:,} bytes")
            lines = data.decode("utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise BadSelection(f"{self.file} cannot be read: {error}") from error
        return [name for line in lines if (name := line.partition("#")[0].strip())]


def _add_names(found: Selection, names: Iterable[str], mode: str) -> None:
    others = []
    for name in dict.fromkeys(names):
        number = token_of(name)
        if number is None:
            others.append(name)
        elif (key := index.by_token(number)) is not None:
            found.add(key, mode, name)
        else:
            found.report(
                f"{name}: the instrument master has no instrument with this token: "
                "import today's dump (manage.py import_instruments)"
            )
    resolved = resolve_names(others)
    for name in others:
        error = resolved.errors.get(name)
        if error is not None or name in resolved.unknown:
            found.report(_unknown_text(name, error, resolved.unknown.get(name, [])))
        else:
            found.add(resolved.wanted[name].key, mode, name)


def _unknown_text(name: str, error: InstrumentsError | None, suggestions: list[str]) -> str:
    meant = f"; did you mean {' or '.join(suggestions)}?" if suggestions else ""
    reason = str(error) if error is not None else "not in the instrument master"
    return f"{name}: {reason}{meant}"
