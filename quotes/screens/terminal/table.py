"""The watch list as a table, for the width and height of the terminal."""

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from quotes.runtime.clock import india_time
from quotes.screens.terminal.text import age, grouped, percent, signed, sparkline
from quotes.screens.terminal.watch_list import POINTS, Row, WatchList

# Column -> the width of the terminal from which on it is shown.
_SHOWN_FROM = {"%": 30, "change": 44, "age": 52, "volume": 66, "trend": 80}
_MIN_TREND = 8
_STALE_MS = 60_000
_MAX_NOTES = 5


def render(watched: WatchList, console: Console) -> RenderableType:
    """Return the table and below it the state of the connection."""
    columns = [name for name, width in _SHOWN_FROM.items() if console.width >= width]
    if not console.encoding.lower().startswith("utf"):
        columns = [name for name in columns if name != "trend"]
    table = Table(box=None, pad_edge=False, header_style="bold", expand=False)
    table.add_column("symbol", no_wrap=True, overflow="ellipsis")
    table.add_column("last", justify="right", no_wrap=True)
    for name in ("change", "%", "volume", "age"):
        if name in columns:
            table.add_column(name, justify="right", no_wrap=True)
    if "trend" in columns:
        table.add_column("trend", no_wrap=True, overflow="crop")
    trend = min(POINTS, max(_MIN_TREND, console.width - 72))
    notes = [f"{row.name}: {row.note}" for row in watched.rows.values() if row.note]
    # The heading, the state and the notes are below; one line stays free for the cursor.
    room = max(1, console.height - 4 - min(len(notes), _MAX_NOTES + 1))
    rows = list(watched.rows.values())
    for row in rows[:room]:
        table.add_row(*_cells(row, watched, columns, trend))
    parts: list[RenderableType] = [table]
    if len(rows) > room:
        parts.append(Text(f"and {len(rows) - room} more: the terminal has no room", style="dim"))
    parts += [Text(note, style="yellow") for note in notes[:_MAX_NOTES]]
    if len(notes) > _MAX_NOTES:
        parts.append(Text(f"and {len(notes) - _MAX_NOTES} more", style="yellow"))
    style = "dim" if watched.state == "open" and watched.feed != "down" else "bold red"
    parts.append(Text(f"{watched.status()}, {clock(watched.now_ms)}", style=style))
    return Group(*parts)


def _cells(row: Row, watched: WatchList, columns: list[str], trend: int) -> list[Text]:
    tick, change = row.tick, row.change
    if tick is None:
        return [Text(row.name), Text("-", style="dim")]
    style = "" if not change else "green" if change > 0 else "red"
    milliseconds = watched.now_ms - tick.timestamp
    # What came before the connection was lost is shown as what it is: old.
    is_old = milliseconds > _STALE_MS or watched.state != "open"
    cells = [Text(row.name), Text(grouped(tick.price), style="dim" if is_old else "bold")]
    found = {
        "change": Text(signed(change) if change is not None else "", style=style),
        "%": Text(
            percent(change, tick.prev_close) if change is not None and tick.prev_close else "",
            style=style,
        ),
        "volume": Text(grouped(tick.volume)),
        "age": Text(age(milliseconds), style="yellow" if is_old else ""),
        "trend": Text(sparkline(row.points, trend), style=style),
    }
    return cells + [found[name] for name in found if name in columns]


def clock(milliseconds: float) -> str:
    """Return a time of day in India."""
    return f"{india_time(round(milliseconds)):%H:%M:%S} IST"


def line(row: Row) -> str:
    """Return a price as a line, for an output that is no terminal."""
    tick, change = row.tick, row.change
    assert tick is not None
    parts = [clock(tick.timestamp), row.name, grouped(tick.price)]
    if change is not None and tick.prev_close:
        parts.append(f"{signed(change)} ({percent(change, tick.prev_close)})")
    if tick.volume is not None:
        parts.append(f"volume {grouped(tick.volume)}")
    return "  ".join(parts)
