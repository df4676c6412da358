"""A service that records is backed up while ticks come, and goes on from the backup elsewhere."""

import gzip
import hashlib
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from quotes.runtime.clock import today_in_india
from tests.backup.service import (
    PASSWORD,
    SYMBOLS,
    Machine,
    Publisher,
    set_up,
    wait_until_recorded,
)
from tests.live import Client
from tests.postgres import PostgresServer
from tests.waiting import wait_until

NSE = "NSE_EQ:RELIANCE"
POSITION, EPOCH, SEQ, SHOWN = 2, 3, 4, 5  # of a row of ticks


@dataclass
class Source:
    """The service that was backed up: what it had when it had stored everything.

    Attributes:
        busy: the backup that was made while ticks came.
        last: the one that was made when none came any more.
        days: the same, of today's history alone and as CSV.
        key: an API key of trader.
    """

    busy: Path
    last: Path
    days: Path
    key: str
    rows: dict[str, list[list[str]]]
    tables: dict[str, list[list[str]]]
    latest: dict[str, list[str]]
    published: dict[str, bytes]


def written(text: str) -> Path:
    """Return where a backup is, by what the command wrote."""
    return Path(text.partition(": ")[0])


def latest_prices(machine: Machine) -> dict[str, list[str]]:
    """Return epoch, number, time and frame of each latest price."""
    found: Any = machine.redis.hgetall("quotes:latest")
    return {key.decode(): value.decode().split(" ", 3) for key, value in found.items()}


def published_keys(machine: Machine) -> dict[str, bytes]:
    keys: Any = machine.redis.keys("stock:*")
    values: Any = machine.redis.mget(sorted(keys))
    return {key.decode(): value for key, value in zip(sorted(keys), values, strict=True)}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source]:
    """Bridge and recorder of their own; they have ended when the tests begin."""
    folder = tmp_path_factory.mktemp("source")
    backups = folder / "backups"
    with Machine(folder / "machine") as machine:
        set_up(machine)
        key = machine.do("api_key", "trader")
        with Publisher(machine.redis) as publisher:
            wait_until(lambda: publisher.published > 300)
            busy = written(machine.run("backup", backups))
            before = publisher.published
            wait_until(lambda: publisher.published > before)
        wait_until_recorded(machine, publisher.published)
        for command in ("record_prices", "bridge_prices"):
            machine.stop(command)
        last = written(machine.run("backup", backups))
        days = machine.run("backup", backups, "--days", "2", "--csv", "--only", "history")
        listed = machine.run("backup", backups, "--list")
        assert [line.partition(" ")[0] for line in listed.splitlines()] == [
            busy.name,
            last.name,
            written(days).name,
        ]
        yield Source(
            *(busy, last, written(days), key),
            *(machine.do("history_rows"), machine.do("database_rows")),
            *(latest_prices(machine), published_keys(machine)),
        )


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine with files, empty at first, on which nothing runs."""
    with Machine(tmp_path_factory.mktemp("files") / "machine") as machine:
        yield machine


def test_rows_come_back_as_they_were(source: Source, files: Machine) -> None:
    """In SQLite: every row of every table, each once, and the latest prices."""
    # Backups that overlap, in any order.
    files.run("restore", source.days, source.last, source.busy)
    assert files.do("history_rows") == source.rows
    tables = files.do("database_rows")
    # What a restore adds: lines of the audit log, and a version of the master.
    for label in ("access.AccessChange", "instruments.MasterVersion"):
        assert len(tables.pop(label)) >= len(source.tables[label]), label
    assert tables == {label: rows for label, rows in source.tables.items() if label in tables}
    now = latest_prices(files)
    assert {key: one[2:] for key, one in now.items()} == {
        key: one[2:] for key, one in source.latest.items()
    }
    oldest = max(int(one[0]) for one in source.latest.values())
    assert all(int(epoch) > oldest and seq == "0" for epoch, seq, *_ in now.values())
    assert published_keys(files) == source.published


def test_nothing_is_lost_by_a_restore_unless_it_is_said(source: Source, files: Machine) -> None:
    """It says what is there; parts are replaced alone, and history may be added to."""
    text = files.refused("restore", source.last)
    for what in (
        "users",
        "instruments",
        "series of history",
        "ticks",
        "latest prices",
        "--replace",
    ):
        assert what in text.partition("nothing restored: there is data already")[2]
    text = files.refused("restore", source.last, "--only", "accounts", "--merge")
    assert "only history can be merged" in text
    files.redis.set("quotes:lease:1", "of a bridge")
    text = files.refused("restore", source.last, "--replace")
    assert "stop the service first: bridge 1" in text
    files.redis.delete("quotes:lease:1")
    assert "nothing written" in files.run("restore", source.last, "--replace", "--dry-run")
    assert files.do("history_rows") == source.rows

    files.run("restore", source.days, "--only", "history", "--merge")
    merged = files.do("history_rows")
    assert merged == source.rows

    # An operator's mistake is undone alone.
    files.do("delete", "asha")
    log = files.do("database_rows")["access.AccessChange"]
    files.run("restore", source.last, "--only", "accounts", "--replace")
    assert files.do("tokens", "asha")["access"]
    now = files.do("database_rows")
    assert now["auth.User"] == source.tables["auth.User"]
    assert all(line in now["access.AccessChange"] for line in log)

    # A row that cannot be stored, with the right checksum: the others are not stored either.
    bad = damaged_rows(source.last, "accounts/auth.user.jsonl.gz")
    text = files.refused("restore", bad, "--only", "accounts", "--replace")
    assert "accounts/auth.user has a row that cannot be stored" in text
    assert files.do("database_rows") == now

    files.run("restore", source.last, "--replace")
    rows = files.do("history_rows")
    assert [gap[1] for gap in rows.pop("gaps")] == ["lost"]
    assert rows == {name: some for name, some in source.rows.items() if name != "gaps"}


def test_an_older_backup_is_brought_up_to_date(
    source: Source, files: Machine, tmp_path: Path
) -> None:
    """In an empty database; into one that is further on it is refused."""
    copy = tmp_path / "older"
    shutil.copytree(source.last, copy)
    manifest = msgspec.json.decode((copy / "manifest.json").read_bytes())
    manifest["migrations"]["default"]["instruments"] = ["0004_calendar_rows"]
    del manifest["migrations"]["default"]["kite"]
    new = ("instruments/instruments.formername", "accounts/kite.")
    manifest["files"] = [one for one in manifest["files"] if not one["name"].startswith(new)]
    (copy / "manifest.json").write_bytes(msgspec.json.encode(manifest))
    text = files.refused("restore", copy, "--replace")
    assert "older than the database, which has the migration instruments.0005" in text
    with Machine(tmp_path / "machine") as machine:
        machine.run("restore", copy, "--only", "instruments", "accounts")
        tables = machine.do("database_rows")
        for label in ("auth.User", "auth.Permission", "access.ApiKey", "instruments.Instrument"):
            assert set(map(tuple, source.tables[label])) <= set(map(tuple, tables[label])), label
        machine.run("migrate", "--check")


def damaged_rows(backup: Path, name: str) -> Path:
    """Return a copy of a backup with a file whose last row has a text for a number."""
    copy = backup.parent / "damaged"
    shutil.copytree(backup, copy)
    lines = gzip.decompress((copy / name).read_bytes()).splitlines()
    lines[-1] = lines[-1].replace(b"[", b'["no number", ', 1).rpartition(b",")[0] + b"]"
    (copy / name).write_bytes(gzip.compress(b"\n".join(lines)))
    manifest = msgspec.json.decode((copy / "manifest.json").read_bytes())
    record = next(one for one in manifest["files"] if one["name"] == name)
    data = (copy / name).read_bytes()
    record |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (copy / "manifest.json").write_bytes(msgspec.json.encode(manifest))
    return copy


async def resumed(client: Client, since: dict[str, int]) -> tuple[bool, list[int]]:
    """Subscribe with a position; return whether the ticks since were recovered, and their seqs."""
    await client.send(action="subscribe", symbol=NSE, seq=True, since=since)
    seqs: list[int] = []
    while True:
        frame = await client.receive()
        if frame.get("type") == "resumed":
            if not frame["ticks"]:
                return frame["recovered"], seqs
            while len(seqs) < frame["ticks"]:
                seqs.append((await client.price())["seq"])
            return frame["recovered"], seqs


async def test_the_service_goes_on_from_a_backup(
    source: Source, postgres: PostgresServer, files: Machine, tmp_path: Path
) -> None:
    """In PostgreSQL, from the backup of SQLite that was made while ticks came."""
    began = time.time_ns() // 1_000_000
    with Machine(tmp_path / "machine", postgres.url(postgres.create())) as machine:
        assert "from sqlite to postgresql" in machine.run("restore", source.busy)
        before = machine.do("history_rows")
        taken = machine.logged()
        machine.start("bridge_prices")
        machine.programs["bridge_prices"].wait_for("sent=", timeout_s=30)
        machine.start("record_prices")
        # The bridge may have shown a publisher's key that was newer than the latest price.
        again = machine.logged() - taken
        assert again <= len(SYMBOLS)
        wait_until_recorded(machine, taken + again)
        restored = machine.do("history_rows")
        # All ticks of the source up to the backup, those that waited for the recorder too.
        expected = [row for row in source.rows["ticks"] if int(row[POSITION]) <= taken]
        assert [row for row in restored["ticks"] if int(row[POSITION]) <= taken] == expected
        assert len(before["ticks"]) <= len(expected) < len(source.rows["ticks"])
        assert taken > 300

        web = machine.web()
        login = {"username": "asha", "password": PASSWORD}
        status, tokens = web.request("POST", "/api/token/", login)
        assert status == 200
        header = {"Authorization": f"Api-Key {source.key}"}
        status, prices = web.request("GET", "/api/prices/NSE_EQ:RELIANCE/", **header)
        assert (status, prices["symbol"]) == (200, "RELIANCE")
        epoch, seq = (int(part) for part in source.latest[NSE][:2])
        async with web.client(tokens["access"]) as client:
            assert (await client.receive())["user"] == "asha"
            # Entitlements are as they were, and a position of before is not continued.
            answer = await client.subscribe("MCX:GOLD26DECFUT")
            assert answer["rejected"][0]["code"] == 403
            assert await resumed(client, {"epoch": epoch, "seq": seq}) == (False, [])
            snapshot = await client.price()
            stored = latest_prices(machine)[NSE]
            first = int(stored[1])  # 0 unless the bridge showed its key
            assert (snapshot["epoch"], snapshot["seq"]) == (int(stored[0]), first)
            assert snapshot["timestamp"] == int(stored[2])

            publisher = Publisher(machine.redis)
            publisher.publish(5)
            came = [await client.price() for _ in range(5)]
            assert [one["seq"] - first for one in came] == [1, 2, 3, 4, 5]
            assert {one["epoch"] for one in came} == {snapshot["epoch"]}
            assert snapshot["epoch"] >= began
        async with web.client(tokens["access"]) as client:
            await client.receive()
            since = {"epoch": snapshot["epoch"], "seq": came[1]["seq"]}
            assert await resumed(client, since) == (True, [one["seq"] for one in came[2:]])

        total = taken + again + publisher.published
        wait_until_recorded(machine, total)
        rows = machine.do("history_rows")
        new = [row for row in rows["ticks"] if row not in expected]
        # No number of the source is given again, and none is missing.
        assert {row[EPOCH] for row in new}.isdisjoint(row[EPOCH] for row in source.rows["ticks"])
        for symbol in {row[0] for row in new}:
            numbers = sorted(int(row[SEQ]) for row in new if row[0] == symbol)
            assert numbers in (list(range(1, 6)), list(range(1, 7))), symbol
        positions = sorted(int(row[POSITION]) for row in rows["ticks"])
        assert positions == list(range(1, total + 1))
        assert [gap[1] for gap in rows["gaps"]] == ["lost"]
        for command in ("record_prices", "bridge_prices"):
            machine.stop(command)
        assert ": 0 wrong" in machine.run("rebuild_candles", "--check", "--from", yesterday())

        # And back into files.
        back = written(machine.run("backup", tmp_path / "backups"))
        files.run("restore", back, "--replace")
        again, now = files.do("history_rows"), machine.do("history_rows")
        assert again.pop("gaps")[:1] == now.pop("gaps")
        assert again == now
        assert files.do("database_rows")["auth.User"] == source.tables["auth.User"]


def yesterday() -> str:
    return str(today_in_india() - timedelta(days=1))


def test_a_backup_is_private_and_complete(source: Source) -> None:
    """Nobody else may read it, and it says what it has not."""
    assert source.last.stat().st_mode & 0o777 == 0o700
    for path in source.last.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
    manifest = msgspec.json.decode((source.last / "manifest.json").read_bytes())
    assert "SECRET_KEY" in manifest["left_out"][0]
    text = "".join(path.name for path in source.last.parent.iterdir())
    assert ".part" not in text
