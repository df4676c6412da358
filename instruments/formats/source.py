"""From the bytes of a file to its records: gzip, limits, CSV and JSON, one record at a time.

What the columns mean is in the vendors' modules. A file that cannot be trusted to be whole (gzip
cut short, JSON that does not close, a line without end) is broken as a whole and raises BadFile;
a record that is merely wrong is for the reader of its cells to refuse.
"""

import codecs
import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, BinaryIO, NamedTuple

from instruments.errors import BadFile

GZIP_MAGIC = b"\x1f\x8b"
CHUNK_BYTES = 256 * 1024
# No vendor's record comes near; a line or a record without end must not fill the memory.
MAX_RECORD = 64 * 1024
SPACE = " \t\r\n"


class Record(NamedTuple):
    """A record and where it stands: its line, and its number from 1."""

    line: int
    number: int
    fields: dict[str, object] | list[str]


class Limited(io.RawIOBase):
    """The bytes of a stream, unpacked, up to a limit; what breaks raises BadFile."""

    def __init__(self, stream: BinaryIO, max_bytes: int) -> None:
        self.stream = stream
        self.left = max_bytes
        self.max_bytes = max_bytes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self.stream.read(len(buffer))
        except EOFError as error:
            raise BadFile("the gzip data is cut short") from error
        except (gzip.BadGzipFile, zlib.error) as error:
            raise BadFile(f"the gzip data is broken: {error}") from error
        self.left -= len(data)
        if self.left < 0:
            raise BadFile(f"the file is larger than {self.max_bytes} bytes when unpacked")
        buffer[: len(data)] = data
        return len(data)


def unpacked(file: BinaryIO, *, max_bytes: int) -> io.BufferedReader:
    """Return the file's bytes from its beginning, unpacked if it is a gzip file.

    Args:
        file: seekable.
        max_bytes: more than this many unpacked bytes raise BadFile when they are read.
    """
    file.seek(0)
    packed = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    file.seek(0)
    stream: BinaryIO = gzip.GzipFile(fileobj=file) if packed else file  # type: ignore[assignment]
    return io.BufferedReader(Limited(stream, max_bytes), CHUNK_BYTES)


def is_json(stream: io.BufferedReader) -> bool:
    """Tell whether the file is JSON, from what it begins with; nothing is consumed."""
    head = stream.peek(1024)[:1024].removeprefix(codecs.BOM_UTF8).lstrip()
    return head[:1] in (b"[", b"{")


def csv_records(stream: io.BufferedReader) -> Iterator[Record]:
    """Yield the rows of a CSV file, empty ones left out; the first may be a header."""
    reader = csv.reader(text_lines(stream), strict=True)
    number = 0
    try:
        for row in reader:
            if row:
                number += 1
                yield Record(reader.line_num, number, row)
    except csv.Error as error:
        raise BadFile(f"not CSV: {error}", line=reader.line_num) from error
    except BadFile as error:
        error.line = error.line or reader.line_num + 1
        raise


def text_lines(stream: io.BufferedReader) -> Iterator[str]:
    # Bytes that are not UTF-8 become surrogates, which no cell may hold: one bad name is a bad
    # row and not the end of the file.
    number = 0
    while raw := stream.readline(MAX_RECORD + 1):
        number += 1
        if len(raw) > MAX_RECORD:
            raise BadFile(f"a line is longer than {MAX_RECORD} bytes", line=number)
        if number == 1:
            raw = raw.removeprefix(codecs.BOM_UTF8)
        yield raw.decode("utf-8", "surrogateescape")


def json_records(stream: io.BufferedReader) -> Iterator[Record]:
    """Yield the objects in a JSON array, or the values of a JSON object, as they are read."""
    text = JsonText(stream)
    try:
        opening = text.take("[{")
        closing = "]" if opening == "[" else "}"
        number = 0
        more = text.next() != closing
        while more:
            number += 1
            if opening == "{":
                text.value(str)
                text.take(":")
            text.next()
            line = text.line
            yield Record(line, number, text.value(dict))
            more = text.take("," + closing) == ","
        if not number:
            text.take(closing)
        if text.next():
            raise BadFile("there is text after the end of the JSON")
    except BadFile as error:
        error.line = error.line or text.line
        raise


class JsonText:
    """The text of a JSON file, a window of it at a time."""

    def __init__(self, stream: io.BufferedReader) -> None:
        self.stream = stream
        self.decode = codecs.getincrementaldecoder("utf-8-sig")("surrogateescape").decode
        self.window = ""
        self.position = 0
        self.ended = False
        self.line = 1

    def fill(self) -> None:
        """See that the window holds the longest record from here on, or the end of the file."""
        while not self.ended and len(self.window) - self.position < MAX_RECORD:
            data = self.stream.read(CHUNK_BYTES)
            self.ended = not data
            self.window = self.window[self.position :] + self.decode(data, self.ended)
            self.position = 0

    def advance(self, end: int) -> None:
        self.line += self.window.count("\n", self.position, end)
        self.position = end

    def next(self) -> str:
        """Return the character after the space from here on; empty at the end."""
        while True:
            self.fill()
            rest = self.position
            while rest < len(self.window) and self.window[rest] in SPACE:
                rest += 1
            self.advance(rest)
            if rest < len(self.window):
                return self.window[rest]
            if self.ended:
                return ""

    def take(self, choices: str) -> str:
        """Return and pass the next character, which must be one of the choices."""
        found = self.next()
        if not found:
            raise BadFile("the JSON is cut short")
        if found not in choices:
            raise BadFile(f"not JSON: {' or '.join(choices)} expected, got {found!r}")
        self.position += 1
        return found

    def value(self, kind: type) -> Any:
        """Return and pass the next value, which must be of the kind."""
        found = self.next()
        if not found:
            raise BadFile("the JSON is cut short")
        try:
            value, end = DECODER.raw_decode(self.window, self.position)
        except (ValueError, RecursionError) as error:
            if self.ended:
                raise BadFile(f"the JSON is broken or cut short: {error!s:.100}") from error
            raise BadFile(
                f"not JSON, or a record longer than {MAX_RECORD} characters: {error!s:.100}"
            ) from error
        if not isinstance(value, kind):
            raise BadFile(f"a JSON {kind.__name__} expected, got {value!r:.75}")
        self.advance(end)
        return value


def no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


DECODER = json.JSONDecoder(parse_float=Decimal, parse_constant=no_constant)
