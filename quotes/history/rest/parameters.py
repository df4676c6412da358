"""Parameters of a request for history: parsed, checked, and limited to what the caller may see."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from instruments.errors import UnknownSymbol
from instruments.keys import InstrumentKey
from instruments.serializers import Query
from quotes.access.rest.permissions import readable_until, require_segments
from quotes.conf import conf
from quotes.errors import BadHistoryQuery, quoted
from quotes.history.candles.intervals import LABELS, NAMES, Interval
from quotes.history.formats.columns import ISO, MS
from quotes.history.queries.batched import HistoryQuery, count_rows
from quotes.history.queries.cursors import decode_cursor
from quotes.history.queries.ranges import TimeRange, check_length, parse_range
from quotes.history.rest.negotiation import ARROW, CSV, JSON, PARQUET, format_of
from quotes.runtime.clock import DAY_MS
from quotes.store.redis_clock import redis_clock
from quotes.store.requested_names import resolve_names, unknown_items

_ALL = "all"
_Unknown = Mapping[InstrumentKey, Mapping[str, Any]]
_LONGEST_MONTH_MS = 31 * DAY_MS
_MOMENT_HELP = (
    "ISO 8601 (Indian time unless it has an offset) or Unix milliseconds. A date alone means the "
)


class HistoryParameters(Query):
    limit = serializers.RegexField(
        r"^(?:[1-9][0-9]{0,8}|all)\Z",
        required=False,
        error_messages={"invalid": "must be a number from 1, or all"},
        help_text="Rows on a page. `all` sends the whole range as one stream, which is the default "
        "for CSV, Arrow and Parquet.",
    )
    cursor = serializers.CharField(
        required=False, max_length=500, help_text="From `next` of the previous page."
    )
    rows = serializers.ChoiceField(
        ["arrays", "objects"], default="arrays", help_text="The form of a row in JSON."
    )
    times = serializers.ChoiceField(
        [MS, ISO],
        default=MS,
        help_text="In JSON and CSV: Unix milliseconds, or ISO 8601 in Indian time.",
    )
    format = serializers.ChoiceField(
        [JSON, CSV, ARROW, PARQUET],
        required=False,
        help_text="Instead of an Accept header: application/json, text/csv, "
        "application/vnd.apache.arrow.stream, application/vnd.apache.parquet.",
    )

    examples = {"from": "2024-04-05", "to": "2024-04-05", "limit": "100"}

    def get_fields(self) -> dict[str, Any]:
        """Add `from` and `to`: `from` cannot be the name of an attribute."""
        moments = {
            "from": serializers.CharField(
                required=False,
                max_length=40,
                help_text=_MOMENT_HELP
                + "beginning of that day. Default: the beginning of the day of `to`.",
            ),
            "to": serializers.CharField(
                required=False,
                max_length=40,
                help_text=_MOMENT_HELP + "end of that day. Exclusive. Default: now.",
            ),
        }
        return {**moments, **super().get_fields()}


@extend_schema_field(
    {
        "type": "string",
        "enum": NAMES,
        # Of the names 1m and 1M, generators of clients would make one.
        "x-enum-varnames": [
            Interval.parse(name).name if name in LABELS.values() else f"KITE_{name.upper()}"
            for name in NAMES
        ],
    }
)
class IntervalField(serializers.CharField):
    """The name of an interval."""


class CandlesParameters(HistoryParameters):
    examples = {**HistoryParameters.examples, "interval": "5m"}
    key = serializers.CharField(required=False, help_text="A URL key.")
    interval = IntervalField(
        max_length=10,
        help_text=f"{', '.join(LABELS.values())}, or a name of Kite: minute, 3minute, "
        "60minute, day.",
    )


class ManyCandlesParameters(CandlesParameters):
    lists = ("instruments",)
    examples = {**CandlesParameters.examples, "instruments": "RELIANCE,M&M"}
    instruments = serializers.CharField(
        help_text="Names of instruments, comma-separated, at most QUOTES_HISTORY_MAX_INSTRUMENTS."
    )


@dataclass(frozen=True)
class HistoryRequest:
    """A request for history with valid parameters.

    Attributes:
        limit: rows of the page; None: all rows, as a stream.
        rows: arrays or objects.
        times: ms or iso.
        unknown: key -> item of `unknown`, of names that neither the master nor Redis has.
    """

    query: HistoryQuery
    limit: int | None
    rows: str
    times: str
    unknown: _Unknown

    @property
    def ticks(self) -> bool:
        return self.query.interval is None


def parse_request(
    request: Request, parameters: type[HistoryParameters], names: Sequence[str] = ()
) -> HistoryRequest:
    """Parse and check the parameters of a request.

    Args:
        names: of instruments; empty: they are in the parameter `instruments`.

    Raises:
        ValidationError: a parameter is unknown or invalid.
        BadHistoryQuery: the range, cursor or number of instruments is invalid or too large.
        BadInterval, InstrumentsError: there is no such interval or instrument.
        NotAuthenticated, PermissionDenied: the caller may not see an instrument.
    """
    terms = parameters.read(request)
    interval = Interval.parse(terms["interval"]) if "interval" in terms else None
    keys, unknown = _requested_keys(request, names or _split_names(terms["instruments"]))
    now = redis_clock.latest_ms()
    span = parse_range(terms.get("from", ""), terms.get("to", ""), now_ms=now)
    span = visible(span, interval, [readable_until(request, key) for key in keys])
    check_length(span, interval, conf.history_max_days)
    query = HistoryQuery(keys, interval, span)
    if "cursor" in terms:
        position = decode_cursor(terms["cursor"], list_id=query.list_id)
        if position.key not in map(str, keys):
            raise BadHistoryQuery(f"not a cursor, got {quoted(terms['cursor'])}")
        query = HistoryQuery(keys, interval, span, position)
    limit = _page_limit(terms.get("limit") or ("" if format_of(request) == JSON else _ALL))
    if limit is None:
        _check_size(query)
    return HistoryRequest(query, limit, terms["rows"], terms["times"], unknown)


def _requested_keys(
    request: Request, names: Sequence[str]
) -> tuple[tuple[InstrumentKey, ...], _Unknown]:
    """Resolve the instruments of a request, and check that the caller may see them.

    Every view of history resolves its instruments here.

    Returns:
        Their keys; and the items of `unknown` for names that neither the master nor Redis has.

    Raises:
        NotAuthenticated, PermissionDenied: the caller may not see one of them.
    """
    resolved = resolve_names(names)
    for error in resolved.errors.values():
        if isinstance(error, UnknownSymbol):
            raise error
        raise ValidationError(str(error)) from error
    found = [resolved.wanted[name].key for name in names]
    require_segments(request, found)
    unknown = {
        resolved.wanted[item["symbol"]].key: item for item in unknown_items(resolved.unknown)
    }
    return tuple(dict.fromkeys(found)), unknown


def visible(span: TimeRange, interval: Interval | None, ends: Sequence[int | None]) -> TimeRange:
    """Return the part of a range that a caller may see.

    Args:
        ends: for each instrument, the time up to which it is visible, in Unix milliseconds; None:
            up to now. A candle is visible once it has ended before that time.
    """
    last = min((end for end in ends if end is not None), default=None)
    if last is None:
        return span
    if interval is not None:
        last -= _LONGEST_MONTH_MS if interval is Interval.MONTH else interval.step_ms
    return TimeRange(min(span.start, last), min(span.end, last))


def _split_names(text: str) -> list[str]:
    names = list(dict.fromkeys(name for name in text.split(",") if name))
    if not names:
        raise BadHistoryQuery("instruments must name at least one, as in ?instruments=A,B")
    if len(names) > conf.history_max_instruments:
        raise BadHistoryQuery(
            f"at most {conf.history_max_instruments} instruments in one request, got {len(names)}"
        )
    return names


def _page_limit(text: str) -> int | None:
    """Return the rows of a page; None: all rows."""
    most = conf.history_page_rows
    if text == _ALL:
        return None
    limit = int(text or most)
    if limit > most:
        raise BadHistoryQuery(f"limit must be at most {most}, or all, got {limit}")
    return limit


def _check_size(query: HistoryQuery) -> None:
    """Raise BadHistoryQuery if the whole range has more rows than one response may have."""
    most = conf.history_max_rows
    if count_rows(query, limit=most + 1) > most:
        raise BadHistoryQuery(
            f"the range has more than {most} rows: request a shorter range, or read it page by page"
        )


def span_texts(span: TimeRange) -> dict[str, str]:
    """Return the parameters of a range with both ends fixed, for the address of its next page."""
    return {"from": str(span.start), "to": str(span.end)}
