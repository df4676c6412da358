"""From release 0.1.0 to this one and back, process by process, on one Redis and one database."""

import asyncio
import os
import sys
from pathlib import Path

import pytest
from redis import Redis

from benchmarks.chaos.history_account import Stored
from benchmarks.chaos.history_rows import read_stored
from tests import released
from tests.programs import ROOT
from tests.rolling import EVERY_TICK, Market, Processes, closes_of, two_ports, uvicorn_command
from tests.valkey import ValkeyProcess
from tests.waiting import eventually

BRIDGE, RECORDER = ("manage.py", "bridge_prices"), ("manage.py", "record_prices")
CLIENTS = 12


OLD_ORM = """
import sys, django; django.setup()
from django.contrib.auth.models import User
from quotes.access.models import ApiKey, SegmentGrant, UserClass
from instruments.models import Instrument
user = User.objects.create_user(sys.argv[1])
SegmentGrant.objects.create(user=user, segment="NFO")
UserClass.objects.create(name=sys.argv[1])
ApiKey.objects.create(user=user, name="k", prefix=sys.argv[1], digest="d")
print(SegmentGrant.objects.count(), UserClass.objects.count(), ApiKey.objects.count())
list(Instrument.objects.all()[:1])
"""
NEW_ORM = """
import django; django.setup()
from django.contrib.auth.models import User
from quotes.access.models import ApiKey, SegmentGrant
from quotes.access.selectors import read_accounts
user = User.objects.create_user("new")
SegmentGrant.objects.create(user=user, segment="NFO", is_whole=True)
ApiKey.objects.create(user=user, name="k", prefix="pn", digest="d", scope="url", segments="NFO")
assert not SegmentGrant.objects.get(user__username="one").is_whole
assert "one" in read_accounts(["one", "new"]).users
"""


def python(folder: Path, *arguments: str) -> list[str]:
    """Return the command that runs Python for the release in a folder."""
    return [sys.executable, *arguments] if folder == ROOT else released.command(*arguments)


async def output_of(folder: Path, environment: dict[str, str], *arguments: str) -> str:
    """Return what a script of a release prints."""
    process = await asyncio.create_subprocess_exec(
        *python(folder, *arguments),
        cwd=folder,
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode().strip()


async def migrate(folder: Path, environment: dict[str, str]) -> None:
    for database in ("default", "history"):
        arguments = ("manage.py", "migrate", "--verbosity", "0", "--database", database)
        await output_of(folder, environment, *arguments)


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_upgrade_and_rollback_beside_release_0_1_0(
    redis: Redis, redis_server: ValkeyProcess, tmp_path: Path
) -> None:
    """Old and new run together in both directions; clients that resume lose nothing shown.

    A bridge of 0.1.0 hands over to nobody, and nobody to it: what others publish in between may be
    lost. This project's publishers lose nothing, and history has each of their ticks once.
    """
    old = await asyncio.to_thread(released.check_out, tmp_path)
    history = f"sqlite:///{tmp_path}/history.sqlite3"
    environment = {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DATABASE_URL": f"sqlite:///{tmp_path}/prices.sqlite3",
        "HISTORY_DATABASE_URL": history,
        "QUOTES_BRIDGE_LEASE_MS": "600",
        "QUOTES_RECORDER_LEASE_MS": "1000",
        "QUOTES_DRAIN_S": "1",
        "LOG_LEVEL": "INFO",
        "PYTHONUNBUFFERED": "1",
    }
    ports = two_ports()
    urls = [f"ws://127.0.0.1:{port}/live-price" for port in ports]
    processes = Processes(environment)
    try:
        await migrate(old, environment)
        assert await output_of(old, environment, "-c", OLD_ORM, "one") == "1 1 1"
        processes.start("old bridge", python(old, *BRIDGE), folder=old)
        processes.start("old recorder", python(old, *RECORDER), folder=old)
        processes.start("old web", released.uvicorn_command(ports[0]), folder=old)
        await processes.until_said("old bridge", "bridging")
        await processes.until_up("old web", ports[0])
        # Release 0.1.0 itself loses ticks of an interval while a client subscribes.
        kinds = [one for one in EVERY_TICK if not one.interval_ms]
        async with Market(redis_server, urls, clients=CLIENTS, kinds=kinds) as market:
            # The new release comes beside the old one, which then leaves, and the other way round.
            await migrate(ROOT, environment)
            # Accounts and keys of either are the other's; columns that are new have a default.
            await output_of(ROOT, environment, "-c", NEW_ORM)
            assert await output_of(old, environment, "-c", OLD_ORM, "two") == "3 2 3"
            for away, coming, folder, port, web in (
                ("old", "new", ROOT, ports[1], uvicorn_command(ports[1])),
                ("new", "old", old, ports[0], released.uvicorn_command(ports[0])),
            ):
                processes.start(f"{coming} bridge", python(folder, *BRIDGE), folder=folder)
                processes.start(f"{coming} recorder", python(folder, *RECORDER), folder=folder)
                processes.start(f"{coming} web", web, folder=folder)
                await processes.until_said(f"{coming} bridge", "standing by")
                await processes.until_up(f"{coming} web", port)
                await market.until_all_hear()
                await processes.stop(f"{away} web")
                await market.until_all_hear()
                await processes.stop(f"{away} bridge")
                await processes.until_said(f"{coming} bridge", "bridging")
                await processes.stop(f"{away} recorder")
                await market.until_all_hear()
            events = await market.finish()
            market.check(events, foreign_may_be_lost=True)
            own = {(one.symbol, one.n) for one in market.ledger.ticks if one.is_own}
        assert len(closes_of(events)) >= 2 * CLIENTS - 2
        stored = Stored()

        def all_stored() -> bool:
            nonlocal stored
            stored = read_stored(history, stored)
            return own <= {(one.symbol, one.n) for one in stored.ticks}

        await eventually(all_stored, timeout_s=30)
        rows = [(one.symbol, one.n) for one in stored.ticks if one.is_shown]
        assert len(rows) == len(set(rows))
    finally:
        processes.close()
