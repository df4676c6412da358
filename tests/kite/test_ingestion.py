"""Kite as a source: connections, subscriptions, losses, and what becomes of odd frames."""

import asyncio
import os
import signal
import struct
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, transaction
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis
from redis.exceptions import AuthenticationError

from instruments.index import index
from instruments.models import Instrument
from instruments.services import master_bump
from quotes.errors import QuotesError
from quotes.kite.models import KiteSubscription
from quotes.kite.packets import Packet
from quotes.kite.source import ingestion as ingestion_module
from quotes.kite.source.access_token import AccessToken, NoToken
from quotes.kite.source.backoff import FIRST_S, LONGEST_S, Backoff
from quotes.kite.source.connection import KiteConnection
from quotes.kite.source.ingestion import Ingestion
from quotes.kite.source.pending import PendingTicks
from quotes.kite.source.selection import BadSelection, Source
from quotes.runtime.clock import now_ms
from quotes.ticks import Tick
from tests.access.deployment import Deployment
from tests.conftest import In
from tests.instruments.factories import equity, m_and_m, nifty50_index, reliance
from tests.kite.test_source_ticks import NIFTY_TOKEN, RELIANCE_TOKEN, full
from tests.kite.upstream import Upstream
from tests.programs import Program, processes
from tests.ticks import tick
from tests.valkey import ValkeyProcess
from tests.waiting import eventually

DUMP = Path(__file__).parent.parent / "instruments" / "data" / "kite.csv"
M_AND_M_TOKEN = 519937
TOKEN = "secret-token"


def stock(number: int) -> Instrument:
    token = 100_000 + number
    return equity(f"STOCK{number}", exchange_token=token, instrument_token=token * 256 + 1)


def make_master() -> None:
    Instrument.objects.bulk_create(
        [reliance(), m_and_m(), nifty50_index(), equity("NOTOKEN"), *map(stock, range(12))]
    )


@pytest.fixture
async def master(redis: Redis, database: In) -> None:
    """Instruments with tokens of Kite's, and one without."""
    await database(make_master)


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream(TOKEN) as server:
        yield server


class Run:
    """An ingestion that runs in the test's loop, and what it published and said."""

    def __init__(self, upstream: Upstream, source: Source, token: AccessToken, **more: Any) -> None:
        self.ticks: list[Tick] = []
        self.lines: list[str] = []
        self.stop = False
        options: dict[str, Any] = {
            "publish": self.publish,
            "report": self.lines.append,
            "tell": self.lines.append,
            "stopped": lambda: self.stop,
            "new_connection": partial(
                KiteConnection, backoff=Backoff(0.02), refused_s=0.2, silent_after_s=2.0
            ),
        }
        self.ingestion = Ingestion(
            source, url=upstream.url, api_key="key", token=token, **options | more
        )

    def publish(self, ticks: Sequence[Tick]) -> int:
        self.ticks += ticks
        return len(ticks)

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def prices(self) -> dict[str, str]:
        return {one.symbol: one.price_text for one in self.ticks}

    async def until_told(self, part: str) -> None:
        await eventually(lambda: part in self.text)


@pytest.fixture
def start(upstream: Upstream, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Runs an ingestion of some names; with a file of the token if `path` is not given."""

    @asynccontextmanager
    async def run(
        *names: str, path: Path | None = None, mode: str = "full", source: Any = None, **more: Any
    ) -> AsyncIterator[Run]:
        if path is None:
            path = tmp_path / "token"
            path.write_text(f"{TOKEN}\n")
        run = Run(upstream, source or Source(names=names, mode=mode), AccessToken(path), **more)
        task = asyncio.create_task(run.ingestion.run())
        try:
            await eventually(lambda: run.ingestion.connections or task.done())
            yield run
        finally:
            run.stop = True
            async with asyncio.timeout(10):
                run.lines.append(await task)

    yield run
    # The master goes with the test's rows.
    index.__init__()  # type: ignore[misc]


# -- the usual way ---------------------------------------------------------------------------------


async def test_packets_become_ticks_of_our_instruments(
    master: None, upstream: Upstream, start: Any
) -> None:
    """Names are subscribed by token in the mode; each packet is published under our key."""
    async with start("RELIANCE", "NSE:NIFTY 50", str(M_AND_M_TOKEN)) as run:
        wanted = {RELIANCE_TOKEN: "full", NIFTY_TOKEN: "full", M_AND_M_TOKEN: "full"}
        await eventually(lambda: upstream.subscribed == wanted)
        assert upstream.queries == [{"api_key": ["key"], "access_token": [TOKEN]}]
        now = now_ms() // 1000
        await upstream.send(
            full(exchange_time=now), Packet(token=NIFTY_TOKEN, mode="full", last_price=2251370)
        )
        await eventually(lambda: len(run.ticks) == 2)
        first, second = run.ticks
        assert (first.segment, first.symbol, first.price_text) == ("NSE_EQ", "RELIANCE", "2925.50")
        assert first.timestamp == now * 1000
        assert (second.segment, second.symbol, second.price_text) == (
            *("NSE_INDEX", "NIFTY 50"),
            "22513.70",
        )
        assert run.ingestion.line().startswith("1 of 1 connections up; 3 instruments; 2 ticks")
    assert run.lines[-1] == "published 2 ticks of 3 instruments"
    assert TOKEN not in run.text


async def test_instruments_are_shared_among_connections(
    master: None, upstream: Upstream, start: Any
) -> None:
    """More than fit into one connection go to up to three; what is beyond is reported."""
    names = [f"STOCK{n}" for n in range(12)]
    async with start(*names, per_connection=3, mode="ltp") as run:
        await eventually(lambda: len(upstream.subscribed) == 9)
        assert sorted(map(len, upstream.modes.values())) == [3, 3, 3]
        assert "12 instruments are wanted, Kite gives 9" in run.text
        assert set(upstream.subscribed.values()) == {"ltp"}


async def test_what_is_wanted_may_change(
    master: None,
    upstream: Upstream,
    start: Any,
    database: In,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The list in admin, a file and the master are read again; only the difference is sent."""
    monkeypatch.setattr(ingestion_module, "READ_EVERY_S", 0.05)
    names = tmp_path / "names.txt"
    names.write_text("# of today\nM&M   # a share\n\n")
    add = KiteSubscription.objects.create
    await database(add, instrument="NSE_EQ:RELIANCE", mode="quote")
    await database(add, instrument="NSE_EQ:STOCK0", active=False)
    source = Source(file=names, has_list=True)
    async with start(source=source) as run:
        await eventually(
            lambda: upstream.subscribed == {RELIANCE_TOKEN: "quote", M_AND_M_TOKEN: "full"}
        )
        upstream.messages.clear()
        await database(KiteSubscription.objects.update, mode="full")
        names.write_text("NIFTY 50")
        await eventually(
            lambda: upstream.subscribed == {RELIANCE_TOKEN: "full", NIFTY_TOKEN: "full"}
        )
        assert {"a": "unsubscribe", "v": [M_AND_M_TOKEN]} in upstream.messages
        assert {"a": "subscribe", "v": [RELIANCE_TOKEN]} not in upstream.messages
        names.unlink()
        await eventually(lambda: "what is wanted stays as it was" in caplog.text)
        assert len(upstream.subscribed) == 2
        await database(KiteSubscription.objects.all().delete)
        names.write_text("NIFTY 50\nNSE:NEWCO")
        await run.until_told("NSE:NEWCO: not in the instrument master")
        await database(add_newco)
        await eventually(lambda: upstream.subscribed == {NIFTY_TOKEN: "full", 1793: "full"})


def add_newco() -> None:
    with transaction.atomic():
        master_bump(rebuild=True)
        Instrument.objects.bulk_create([equity("NEWCO", exchange_token=7, instrument_token=1793)])


async def test_names_that_cannot_come_from_kite_are_reported(
    master: None, upstream: Upstream, start: Any
) -> None:
    """A name that the master does not have, or has no token of, is told; the others come."""
    async with start("RELIANCE", "RELIANZE", "NOTOKEN", "123456", "NSE:") as run:
        await eventually(lambda: upstream.subscribed == {RELIANCE_TOKEN: "full"})
    for part in (
        "RELIANZE: not in the instrument master; did you mean NSE_EQ:RELIANCE?",
        "NOTOKEN: the instrument master has no Kite token of it: import today's dump",
        "123456: the instrument master has no instrument with this token: import today's dump",
        "NSE:: a symbol must have 1 to 64 characters",
    ):
        assert part in run.text


async def test_whole_segments_can_be_taken(master: None, upstream: Upstream, start: Any) -> None:
    """All instruments of a segment that have a token."""
    async with start(source=Source(segments=("NSE_EQ",), mode="quote")):
        await eventually(lambda: len(upstream.subscribed) == 14)
        assert NIFTY_TOKEN not in upstream.subscribed


async def test_nothing_to_take_is_an_error(master: None, upstream: Upstream) -> None:
    """Without one instrument that can come from Kite the source does not start."""
    for source in (Source(names=("RELIANZE",)), Source(has_list=True)):
        run = Run(upstream, source, AccessToken())
        with pytest.raises(BadSelection, match="no instrument"):
            await run.ingestion.run()
    assert not upstream.queries
    index.__init__()  # type: ignore[misc]


async def test_packets_of_the_default_mode_are_passed_over_at_first(
    master: None, upstream: Upstream, start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A price of long ago in the default mode, without its time, is not taken for one of now."""
    async with start("RELIANCE") as run:
        await eventually(lambda: upstream.subscribed == {RELIANCE_TOKEN: "full"})
        await upstream.send(Packet(token=RELIANCE_TOKEN, mode="quote", last_price=1))
        await upstream.send(full())
        await eventually(lambda: run.ticks)
        assert run.prices() == {"RELIANCE": "2925.50"}
        # Later on whatever comes is better than nothing.
        (connection,) = run.ingestion.connections
        monkeypatch.setattr(connection, "_settled_at", 0.0)
        await upstream.send(Packet(token=RELIANCE_TOKEN, mode="quote", last_price=1))
        await eventually(lambda: run.prices() == {"RELIANCE": "0.01"})


# -- losses ----------------------------------------------------------------------------------------


async def test_a_restart_of_kite_is_survived(master: None, upstream: Upstream, start: Any) -> None:
    """After a restart everything is subscribed again, and ticks go on."""
    async with start("RELIANCE", "NIFTY 50", mode="ltp") as run:
        for price in (1000, 2000, 3000):
            await eventually(lambda: len(upstream.subscribed) == 2)
            await upstream.send(Packet(token=RELIANCE_TOKEN, mode="ltp", last_price=price))
            await eventually(lambda: run.ticks)
            assert run.ticks.pop().price_text == f"{price // 100}.00"
            await upstream.stop()
            await eventually(lambda: not run.ingestion.connections[0].is_up)
            assert "0 of 1 connections up" in run.ingestion.line()
            await upstream.start()
        assert run.ingestion.connections[0].counters.losses >= 3
    assert "losses of a connection" in run.lines[-1]


async def test_a_silent_line_is_replaced(master: None, upstream: Upstream, start: Any) -> None:
    """A line without a frame, even a heartbeat, is dead: it is cut and opened again."""
    short = partial(KiteConnection, backoff=Backoff(0.02), silent_after_s=0.3)
    async with start("RELIANCE", new_connection=short) as run:
        await eventually(lambda: upstream.subscribed)
        upstream.beats = False
        await run.until_told("no frame for 0.3 s, though Kite sends one a second")
        upstream.beats = True
        await eventually(lambda: len(upstream.queries) >= 2 and upstream.subscribed)


async def test_a_refused_token_waits_for_a_new_one(
    master: None, upstream: Upstream, start: Any, tmp_path: Path
) -> None:
    """403 is told with the cure; a new token in the file is taken before the pause is over."""
    path = tmp_path / "kite-token"
    patient = partial(KiteConnection, refused_s=60.0)
    async with start("RELIANCE", path=path, new_connection=patient) as run:
        await run.until_told("kite-token cannot be read (No such file or directory): write today's")
        path.write_text("old-token")
        await run.until_told("Kite refuses the access token (403): write today's access token")
        path.write_text(TOKEN)
        await eventually(lambda: upstream.subscribed)
    assert [one["access_token"] for one in upstream.queries] == [["old-token"], [TOKEN]]
    assert "old-token" not in run.text and TOKEN not in run.text


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (HTTPStatus.TOO_MANY_REQUESTS, "three connections of this API key already"),
        (HTTPStatus.UNAUTHORIZED, "Kite refuses the access token (401)"),
        (HTTPStatus.BAD_GATEWAY, "Kite answers 502 instead of a WebSocket"),
    ],
)
async def test_other_refusals_are_told(
    status: HTTPStatus, says: str, master: None, upstream: Upstream, start: Any
) -> None:
    """What Kite refuses is told in words, and tried again."""
    upstream.token, upstream.status = "another", status
    async with start("RELIANCE") as run:
        await run.until_told(says)
        await eventually(lambda: len(upstream.queries) >= 2)
        assert run.text.count(says) == 1
        upstream.token = TOKEN
        await eventually(lambda: upstream.subscribed)


# -- odd frames ------------------------------------------------------------------------------------

GOOD = struct.pack(">HHIi", 1, 8, RELIANCE_TOKEN, 123400)


@pytest.mark.parametrize(
    ("frame", "bad_frames", "bad_packets", "heartbeats"),
    [
        *((one, 0, 0, 1) for one in (b"", b"\0", b"\xff", b"\0\0")),
        *((one, 1, 0, 0) for one in (b"\xff\xff", b"garbage", bytes(range(256)), GOOD[:-1])),
        *((one, 1, 0, 0) for one in (GOOD + b"\0", b"\0\1", b"\0\2" + GOOD[2:])),
        *(
            (struct.pack(">HH", 1, n) + bytes(n), 0, 1, 0)
            for n in (0, 1, 7, 9, 27, 29, 33, 43, 45, 183, 185, 400)
        ),
        (struct.pack(">HHIi", 1, 8, 5 * 256 + 12, 1), 0, 1, 0),  # a low byte of no segment
        (struct.pack(">HH", 2, 3) + b"123" + GOOD[2:], 0, 1, 0),  # a good packet behind a bad one
        *((one, 1, 0, 0) for one in ("", "null", "[]", "{", '{"type":"error"}', '{"data":"x"}')),
        *(('{"type":5,"data":{}}', 0, 0, 0), ("[" * 100_000, 1, 0, 0), ("\0", 1, 0, 0)),
        *((f'{{"type":"{one}","data":"no"}}', 0, 0, 0) for one in ("error", "message", "order")),
    ],
)
def test_odd_frames_are_passed_over(
    frame: bytes | str, bad_frames: int, bad_packets: int, heartbeats: int
) -> None:
    """A frame or a packet that is none is counted; what follows is read."""
    taken: list[Packet] = []
    connection = KiteConnection(
        "Kite 1", url="", api_key="", token=AccessToken(), take=taken.extend, tell=print
    )
    connection.read(frame)
    counters = connection.counters
    found = counters.bad_frames, counters.bad_packets, counters.heartbeats
    assert found == (bad_frames, bad_packets, heartbeats)
    connection.read(GOOD)
    assert taken[-1] == Packet(token=RELIANCE_TOKEN, mode="ltp", last_price=123400)


@given(st.lists(st.binary(max_size=400) | st.text(max_size=100)))
def test_no_frame_fails(frames: list[bytes | str]) -> None:
    """Whatever comes, reading goes on."""
    before = READER.counters.frames
    for frame in frames:
        READER.read(frame)
    assert READER.counters.frames == before + len(frames)


READER = KiteConnection(
    "Kite 1", url="", api_key="", token=AccessToken(), take=lambda packets: None, tell=print
)


async def test_garbage_does_not_end_the_line(master: None, upstream: Upstream, start: Any) -> None:
    """After frames that are none, prices come over the same line."""
    async with start("RELIANCE", mode="ltp") as run:
        await eventually(lambda: upstream.subscribed)
        for frame in (os.urandom(2000), b"", "", "[" * 100_000, GOOD + b"\0"):
            await upstream.send_raw(frame)
        await upstream.send_raw(GOOD)
        await eventually(lambda: "RELIANCE" in run.prices())
        assert run.prices() == {"RELIANCE": "1234.00"}
        assert len(upstream.queries) == 1


async def test_what_kite_says_is_in_the_log(
    master: None, upstream: Upstream, start: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A text of Kite's is logged; packets of instruments that nobody wants are counted."""
    async with start("RELIANCE", mode="ltp") as run:
        await eventually(lambda: upstream.subscribed)
        await upstream.send_raw('{"type":"error","data":"limit reached"}')
        await eventually(lambda: "Kite says: 'limit reached'" in caplog.text)
        await upstream.send(
            Packet(token=M_AND_M_TOKEN, mode="ltp", last_price=1),
            Packet(token=RELIANCE_TOKEN, mode="ltp", last_price=0),
        )
        await eventually(lambda: run.ingestion.not_wanted == run.ingestion.untraded == 1)
    assert "1 packets without a price; 1 packets of other instruments" in run.lines[-1]


async def test_silent_instruments_are_named_in_market_hours(
    master: None, upstream: Upstream, start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An instrument without a tick is reported while its market is open, and at no other time."""
    status = "closed"

    class Status:
        @property
        def status(self) -> str:
            return status

    monkeypatch.setattr(index, "market_status", lambda *arguments: Status(), raising=False)
    async with start("RELIANCE", "M&M", silent_after_s=0.05) as run:
        await eventually(lambda: upstream.subscribed)
        assert "without a tick" not in run.ingestion.line()
        status = "open"
        expected = "2 without a tick for 0.05 s in market hours: NSE_EQ:RELIANCE, NSE_EQ:M&M"
        await eventually(lambda: expected in run.ingestion.line())
        status = "holiday"
        assert "without a tick" not in run.ingestion.line()


# -- publishing ------------------------------------------------------------------------------------


async def test_ticks_wait_in_bounded_memory() -> None:
    """Beyond the bound the newest tick of each instrument is kept, in order."""
    pending = PendingTicks(most=3)
    ticks = [tick("A", "1"), tick("B", "2"), tick("A", "3"), tick("A", "4")]
    pending.add(ticks)
    assert pending.conflated == 2 and len(pending) == 2
    assert [(one.symbol, one.price_text) for one in pending.take()] == [("A", "4"), ("B", "2")]
    pending.close()
    assert not await pending.wait()


async def test_what_has_come_is_published_before_the_end(
    master: None, upstream: Upstream, start: Any
) -> None:
    """The end waits for ticks that were taken; a batch that fails for good ends the source."""
    slow: list[Tick] = []

    def publish(ticks: Sequence[Tick]) -> int:
        time.sleep(0.05)
        slow.extend(ticks)
        return len(ticks)

    async with start("RELIANCE", mode="ltp", publish=publish) as run:
        await eventually(lambda: upstream.subscribed)
        for price in range(1, 20):
            await upstream.send(Packet(token=RELIANCE_TOKEN, mode="ltp", last_price=price))
        await eventually(lambda: run.ingestion.connections[0].counters.packets == 19)
    assert [one.price_text for one in slow] == [f"0.{n:02}" for n in range(1, 20)]


async def test_redis_that_refuses_for_good_ends_the_source(
    master: None, upstream: Upstream, tmp_path: Path
) -> None:
    """A log-in that Redis refuses does not get better by waiting: the source ends with it."""

    def refuse(ticks: Sequence[Tick]) -> int:
        raise AuthenticationError("no")

    path = tmp_path / "token"
    path.write_text(TOKEN)
    source = Source(names=("RELIANCE",), mode="ltp")
    run = Run(upstream, source, AccessToken(path), publish=refuse)
    task = asyncio.create_task(run.ingestion.run())
    await eventually(lambda: upstream.subscribed)
    await upstream.send(Packet(token=RELIANCE_TOKEN, mode="ltp", last_price=1))
    with pytest.raises(AuthenticationError):
        async with asyncio.timeout(10):
            await task
    index.__init__()  # type: ignore[misc]


# -- parts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"two words", "none"),
        (b"a" * 10_000, "none"),
        (b"line\nline", "none"),
        (b"\xff\xfe\x00", "none"),
        ("tökén".encode(), "none"),
    ],
)
def test_what_is_no_token_is_refused(content: bytes, says: str, tmp_path: Path) -> None:
    """The text of an error says what to do, and shows nothing of the file."""
    path = tmp_path / "token"
    path.write_bytes(content)
    with pytest.raises(NoToken, match=says) as refused:
        AccessToken(path).read()
    assert "write today's access token into" in str(refused.value)
    assert "words" not in str(refused.value) and isinstance(refused.value, QuotesError)


def test_a_token_comes_from_a_file_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Space around it does not count; a file that others can read is warned of."""
    path = tmp_path / "token"
    path.write_bytes(b"\xef\xbb\xbf  abc.DEF-123_=\r\n")
    path.chmod(0o600)
    assert AccessToken(path).read() == "abc.DEF-123_=" and not AccessToken(path).warning()
    path.chmod(0o644)
    assert "chmod 600" in AccessToken(path).warning()
    monkeypatch.delenv("KITE_ACCESS_TOKEN", raising=False)
    with pytest.raises(NoToken, match="set KITE_ACCESS_TOKEN"):
        AccessToken().read()
    monkeypatch.setenv("KITE_ACCESS_TOKEN", "xyz")
    assert AccessToken().read() == "xyz" and not AccessToken().warning()


def test_pauses_double_up_to_a_minute() -> None:
    """Each failure in a row doubles the pause, with chance in it; success begins again."""
    backoff = Backoff()
    longest = FIRST_S
    for _ in range(12):
        assert longest / 2 <= backoff.pause_s() <= longest
        longest = min(2 * longest, LONGEST_S)
    assert longest == LONGEST_S
    backoff.reset()
    assert backoff.pause_s() <= FIRST_S


# -- the command -----------------------------------------------------------------------------------


def command(*arguments: str, **environment: str) -> Program:
    return Program(
        [sys.executable, "manage.py", "ingest_kite", "--api-key", "key", *arguments],
        DJANGO_SETTINGS_MODULE="config.settings",
        QUOTES_REPORT_INTERVAL_S="0.2",
        LOG_LEVEL="DEBUG",
        **environment,
    )


async def test_the_command_publishes_and_ends_on_sigterm(
    upstream: Upstream, redis: Redis, redis_server: ValkeyProcess, tmp_path: Path
) -> None:
    """manage.py ingest_kite: prices are in Redis; SIGTERM ends it; the token is shown nowhere."""
    with Deployment(tmp_path, redis_server.url) as deployment:
        await asyncio.to_thread(deployment.do, "call", "import_instruments", str(DUMP))
        database = deployment.environment
    names = ("RELIANCE", "--url", upstream.url)
    with command(*names, **database, KITE_ACCESS_TOKEN=TOKEN) as program:
        await eventually(lambda: upstream.subscribed == {RELIANCE_TOKEN: "full"})
        await upstream.send(full(exchange_time=now_ms() // 1000))
        await eventually(lambda: redis.get("stock:NSE_EQ:RELIANCE"))
        await eventually(lambda: "1 ticks published" in program.text)
        table = await asyncio.to_thread(processes)
        assert TOKEN not in table[program.process.pid].arguments
        status, _ = await asyncio.to_thread(program.end, signal.SIGTERM)
    assert status == 0
    assert program.lines[-1] == "published 1 ticks of 1 instruments"
    assert TOKEN not in program.text
    frame: Any = redis.get("stock:NSE_EQ:RELIANCE")
    assert b'"price":2925.50' in frame and b'"depth":{"buy":[{' in frame


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--url", "http://x"], "--url must be like"),
        (["--url", "wss://user:pass@ws.kite.trade"], "--url must be like"),
        (["--url", "wss://ws.kite.trade?access_token=abc"], "--url must be like"),
        (["--url", "wss://"], "--url must be like"),
        (["--silent-after", "0"], "--silent-after must be above 0"),
        (["RELIANCE"], "no KITE_ACCESS_TOKEN"),
    ],
)
def test_mistakes_are_told_at_once(
    arguments: list[str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistake in the options ends the command with what to do, before anything is opened."""
    monkeypatch.delenv("KITE_ACCESS_TOKEN", raising=False)
    with pytest.raises(CommandError, match=says) as told:
        call_command("ingest_kite", "--api-key", "key", *arguments)
    assert "abc" not in str(told.value) and "pass@" not in str(told.value)


@pytest.mark.parametrize(
    ("failure", "says"),
    [
        (OperationalError("no such table"), "no such table; run manage.py migrate first"),
        (BadSelection("names.txt cannot be read"), "names.txt cannot be read"),
        (AuthenticationError("WRONGPASS"), "WRONGPASS"),
    ],
)
def test_what_ends_the_source_is_told_in_a_sentence(
    failure: Exception, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What does not get better by waiting ends the command without a traceback."""

    def fail(source: Source) -> None:
        raise failure

    monkeypatch.setenv("KITE_ACCESS_TOKEN", TOKEN)
    monkeypatch.setattr(Source, "read", fail)
    with pytest.raises(CommandError, match=says):
        call_command("ingest_kite", "RELIANCE", "--api-key", "key")
