"""Imports point down only: the floors of the project."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# floor -> modules; a folder stands for all modules in it
FLOORS: dict[int, tuple[str, ...]] = {
    0: (
        "instruments.keys",
        "instruments.errors",
        "instruments.conf",
        "instruments.market",
        "quotes.errors",
        "quotes.conf",
        "quotes.access.errors",
        "quotes.kafka.conf",
    ),
    1: (
        "quotes.runtime",
        "instruments.formats",
        "instruments.resolving",
        "instruments.sessions",
        "instruments.snapshot",
        "instruments.symbols",
        "instruments.vendors",
        "quotes.store.positions",
        "quotes.ticks",
        "quotes.usual_ticks",
        "quotes.serve.console",
        "quotes.runtime.interrupts",
        "quotes.runtime.progress",
        "quotes.websocket.protocol",
        "quotes.publish.replay.recordings",
        "quotes.publish.simulation.instruments",
        "quotes.publish.simulation.market",
        "quotes.layer.lanes",
        "quotes.websocket.token_bucket",
        "quotes.websocket.delivery.day_fields",
        "quotes.websocket.delivery.shapes",
        "quotes.history.recording.announcements",
        "quotes.history.candles.building",
        "quotes.history.candles.bars",
        "quotes.history.candles.deriving",
        "quotes.history.queries.cursors",
        "quotes.history.formats",
        "quotes.history.files.import_files",
        "quotes.history.files.import_report",
        "quotes.history.files.import_rows",
        "quotes.history.candles.intervals",
        "quotes.history.tables.log_positions",
        "quotes.history.maintenance.retention",
        "quotes.history.queries.ranges",
        "quotes.history.router",
        "quotes.runtime.row_progress",
        "quotes.history.rows",
        "quotes.history.candles.sessions",
        "quotes.history.candles.volumes",
        "quotes.runtime.warnings",
        "quotes.access.middleware.proxy_headers",
        "quotes.access.middleware.body_limit",
        "quotes.access.credentials.presented",
        "quotes.access.entitlements",
        "quotes.runtime.redaction",
        "quotes.access.accounts",
        "quotes.kafka.fields",
    ),
    2: (
        "instruments.models",
        "quotes.store.names",
        "quotes.bridge.streams",
        "quotes.runtime.redis_link",
        "quotes.serve.redis_probe",
        "quotes.store.scanning",
        "quotes.store.tick_log",
        "quotes.store.inbox",
        "quotes.history.fields",
        "quotes.history.models",
        "quotes.history.tables.opening",
        "quotes.history.tables.partitions",
        "quotes.history.tables.postgres",
        "quotes.history.tables.sqlite",
        "quotes.history.tables.base",
        "quotes.history.recording.batches",
        "quotes.access.credentials.jwks",
        "quotes.access.models",
        "quotes.access.credentials.tokens",
        "quotes.kafka.stored_offsets",
        "quotes.kafka.status",
    ),
    3: (
        "instruments.bulk",
        "instruments.import_file",
        "instruments.import_report",
        "instruments.importing",
        "instruments.index",
        "instruments.keyset",
        "instruments.latest",
        "instruments.loading",
        "instruments.searching",
        "instruments.selectors",
        "instruments.services",
        "instruments.uploads",
        "quotes.websocket.feed.market_status",
        "quotes.websocket.feed.positions",
        "quotes.websocket.feed.past",
        "quotes.publish.publishing",
        "quotes.websocket.feed.recent_ticks",
        "quotes.publish.backpressure",
        "quotes.publish.patient_publisher",
        "quotes.publish.json_lines",
        "quotes.publish.replay.replay",
        "quotes.publish.replay.checks",
        "quotes.publish.replay.command",
        "quotes.publish.simulation.feed",
        "quotes.bridge.market",
        "quotes.bridge.pending",
        "quotes.store.snapshots",
        "quotes.history.candles.calendars",
        "quotes.history.recording.log_reader",
        "quotes.history.maintenance.pruning",
        "quotes.history.maintenance.rebuilding",
        "quotes.history.recording.writer",
        "quotes.history.queries.candle_rows",
        "quotes.history.files.candle_import",
        "quotes.history.files.exporting",
        "quotes.history.maintenance.gap_report",
        "quotes.history.files.importing",
        "quotes.history.queries.batched",
        "quotes.history.files.tick_import",
        "quotes.history.queries.selectors",
        "quotes.history.recording.day_statistics",
        "quotes.access.credentials.api_keys",
        "quotes.access.changes",
        "quotes.access.selectors",
        "quotes.access.connection_counts",
        "quotes.access.credentials.logins",
        "quotes.access.account_reader",
        "quotes.access.revocation",
        "quotes.access.rest.throttling",
        "quotes.access.credentials.tickets",
    ),
    4: (
        "quotes.websocket.transports.asgi",
        "quotes.websocket.subscriptions.admission",
        "quotes.bridge.bridge",
        "quotes.websocket.subscriptions.candles",
        "quotes.websocket.subscriptions.resuming",
        "quotes.serve.child",
        "quotes.serve.embedded_redis",
        "quotes.kafka",
        "quotes.serve.orphan_guard",
        "quotes.serve.listening",
        "quotes.serve.processes",
        "quotes.serve.supervisor",
        "quotes.bridge.counters",
        "quotes.websocket.subscriptions.option_chains",
        "quotes.websocket.transports.daphne",
        "quotes.websocket.feed.day_reader",
        "quotes.websocket.delivery.outbox",
        "quotes.websocket.feed.feed",
        "quotes.bridge.flush",
        "quotes.bridge.inbox_reader",
        "quotes.websocket.delivery.framing",
        "quotes.websocket.delivery.intervals",
        "quotes.websocket.transports.base",
        "quotes.layer.any_layer",
        "quotes.layer.groups",
        "quotes.layer.lane_link",
        "quotes.layer.mailboxes",
        "quotes.layer",
        "quotes.store.lease",
        "quotes.websocket.subscriptions.membership",
        "quotes.websocket.delivery.pacing",
        "quotes.websocket.session",
        "quotes.websocket.delivery.sharing",
        "quotes.bridge.writer",
        "quotes.websocket.transports.uvicorn",
        "quotes.websocket.subscriptions.prices",
        "quotes.history.recording.announcer",
        "quotes.history.recording.recorder",
        "quotes.store.recorder_lease",
        "quotes.access.service",
        "quotes.websocket.subscriptions.admission",
        "quotes.websocket.feed.delayed",
        "quotes.websocket.handshake",
        "quotes.websocket.client_access",
    ),
    5: (
        "instruments",
        "instruments.admin",
        "instruments.api",
        "instruments.apps",
        "instruments.examples",
        "instruments.renderers",
        "instruments.rest",
        "instruments.serializers",
        "instruments.urls",
        "instruments.management",
        "quotes",
        "quotes.access",
        "quotes.rest.prices",
        "quotes.apps",
        "quotes.checks",
        "quotes.websocket.consumers",
        "quotes.websocket.transports.daphne",
        "quotes.rest.health",
        "quotes.history",
        "quotes.history.admin",
        "quotes.history.rest.api",
        "quotes.history.apps",
        "quotes.history.rest.negotiation",
        "quotes.history.rest.parameters",
        "quotes.history.rest.schema",
        "quotes.history.rest.urls",
        "quotes.history.management",
        "quotes.kafka.availability",
        "quotes.management",
        "quotes.websocket.origins",
        "quotes.serve.startup",
        "quotes.rest.pages",
        "quotes.rest.publish",
        "quotes.rest.urls",
    ),
    6: ("config",),
}


def floor_of(module: str) -> int | None:
    """Return the floor of a module by its longest name in the table."""
    found = [
        (len(name), floor)
        for floor, names in FLOORS.items()
        for name in names
        if module == name
        or (
            module.startswith(name + ".")
            and name not in ("quotes", "quotes.history", "instruments")
        )
    ]
    return max(found)[1] if found else None


def modules() -> Iterator[tuple[str, Path]]:
    for package in ("instruments", "quotes", "config"):
        for path in sorted((ROOT / package).rglob("*.py")):
            if "migrations" not in path.parts:
                parts = path.relative_to(ROOT).with_suffix("").parts
                yield ".".join(part for part in parts if part != "__init__"), path


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            node.body = []
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize(("module", "path"), [pytest.param(*one, id=one[0]) for one in modules()])
def test_imports_point_down_only(module: str, path: Path) -> None:
    """A module imports from its own floor and those below, and instruments never from quotes."""
    floor = floor_of(module)
    assert floor is not None, f"{module} has no floor: give it one in tests/test_floors.py"
    for imported in imports(path):
        if imported.split(".")[0] not in ("instruments", "quotes", "config"):
            continue
        if imported in ("instruments", "quotes"):
            continue
        below = floor_of(imported)
        if below is not None:
            assert below <= floor, f"{module} (floor {floor}) imports {imported} (floor {below})"
        assert not (module.startswith("instruments") and imported.startswith("quotes"))


def test_the_path_of_a_tick_never_touches_the_database() -> None:
    """What runs for each tick imports neither Django's ORM nor models."""
    for module, path in modules():
        if floor_of(module) in (1, 4) and module.startswith("quotes"):
            for imported in imports(path):
                assert not imported.startswith(("django.db", "quotes.models", "instruments.models"))
