"""The checks of `manage.py doctor`, each on a fault that it is for."""

import datetime
import resource
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from redis import Redis

from instruments.models import Holiday, Instrument
from instruments.sessions import today_in_india
from quotes.doctor import kafka_topics, packages, processes
from quotes.doctor.certificates import check_certificates
from quotes.doctor.clocks import check_clocks
from quotes.doctor.databases import check_databases
from quotes.doctor.deployed_settings import check_settings
from quotes.doctor.deployment import Deployment
from quotes.doctor.findings import Finding, Level
from quotes.doctor.instrument_master import check_instruments
from quotes.doctor.kafka_topics import check_kafka
from quotes.doctor.machine import check_disk, check_open_files
from quotes.doctor.market_calendar import check_calendar
from quotes.doctor.migrations import check_migrations_of_all
from quotes.doctor.packages import check_packages
from quotes.doctor.ports import check_ports
from quotes.doctor.processes import check_processes
from quotes.doctor.redis_server import check_redis
from quotes.runtime.clock import now_ms
from quotes.store.names import own_key
from quotes.store.redis_clock import redis_clock
from tests.doctor.certificates import write_certificate
from tests.instruments.factories import nifty_call, reliance
from tests.ports import free_port
from tests.valkey import ValkeyProcess


def problems(findings: Iterable[Finding]) -> list[str]:
    """Return level, text and cure of each problem in a line."""
    return [
        f"{one.level.name}: {one.text} -> {one.cure}"
        for one in findings
        if one.level is not Level.OK
    ]


def command(client: Any, *words: str) -> None:
    client.execute_command(*words)


@pytest.fixture
def whole_redis(redis: Redis) -> Iterator[Redis]:
    """A server with the settings of docs/operations.md."""
    names = ("maxmemory", "maxmemory-policy", "appendonly", "client-output-buffer-limit")
    before: Any = {name: value for one in names for name, value in redis.config_get(one).items()}
    redis.config_set("maxmemory", "4gb")
    redis.config_set("appendonly", "yes")
    redis.config_set("client-output-buffer-limit", "pubsub 268435456 67108864 60")
    yield redis
    command(redis, "REPLICAOF", "NO", "ONE")
    for name, value in before.items():
        redis.config_set(name, value)


# -- settings --------------------------------------------------------------------------------------


GOOD: dict[str, Any] = {
    "SECRET_KEY": "q7Lw2xVb9tRk4mZp8sHd3fGj6nCy1uEa5oTi0vXr2bQw8eYk4L",
    "DEBUG": False,
    "HTTPS": True,
    "ALLOWED_HOSTS": ["prices.example.com"],
    "QUOTES_TRUSTED_PROXIES": "127.0.0.1",
}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, []),
        ({"ALLOWED_HOSTS": ["localhost"], "HTTPS": False}, []),
        ({"DEBUG": True}, ["ERROR: DEBUG is on"]),
        ({"DEBUG": True, "ALLOWED_HOSTS": ["localhost"]}, ["WARNING: DEBUG is on"]),
        ({"SECRET_KEY": "short"}, ["ERROR: SECRET_KEY can be guessed"]),
        ({"SECRET_KEY": "a" * 60}, ["ERROR: SECRET_KEY can be guessed"]),
        ({"SECRET_KEY": "django-insecure-" + "ab3de" * 12}, ["ERROR: SECRET_KEY can be guessed"]),
        ({"ALLOWED_HOSTS": ["*"]}, ["WARNING: ALLOWED_HOSTS admits every name"]),
        ({"HTTPS": False}, ["WARNING: HTTPS is off"]),
        ({"QUOTES_TRUSTED_PROXIES": ""}, ["WARNING: HTTPS is on and QUOTES_TRUSTED_PROXIES"]),
        ({"QUOTES_LOCAL_ORIGINS": "true"}, ["WARNING: QUOTES_LOCAL_ORIGINS is on"]),
        ({"QUOTES_QUERY_TOKEN": "true"}, ["WARNING: QUOTES_QUERY_TOKEN is on"]),
        ({"QUOTES_ALLOWED_ORIGINS": "https://a.example.com, http://b:81"}, []),
        ({"QUOTES_ALLOWED_ORIGINS": "a.example.com"}, ["WARNING: QUOTES_ALLOWED_ORIGINS has"]),
        ({"QUOTES_ALLOWED_ORIGINS": "https://*.a.com"}, ["WARNING: QUOTES_ALLOWED_ORIGINS has"]),
        ({"QUOTES_ALLOWED_ORIGINS": "https://a/x"}, ["WARNING: QUOTES_ALLOWED_ORIGINS has"]),
        ({"QUOTES_ALLOWED_ORIGINS": "https://a:x"}, ["WARNING: QUOTES_ALLOWED_ORIGINS has"]),
        ({"QUOTES_MAX_SYMBOLS": "many"}, ["ERROR: QUOTES_MAX_SYMBOLS"]),
        ({"QUOTES_NONSENSE": "1"}, ["ERROR: QUOTES_NONSENSE"]),
    ],
)
def test_settings(settings: Any, changed: dict[str, Any], expected: list[str]) -> None:
    """Each unsafe setting is named once, with what to set; good ones are summed up."""
    for name, value in (GOOD | changed).items():
        setattr(settings, name, value)
    found = list(check_settings(Deployment()))
    texts = problems(found)
    assert len(texts) == len(expected), texts
    for text, beginning in zip(texts, expected, strict=True):
        assert text.startswith(beginning) and not text.endswith("-> ")
    if not expected:
        assert "everybody reads all segments" in found[0].text
    assert GOOD["SECRET_KEY"] not in str(found)


# -- Redis and clocks ------------------------------------------------------------------------------


def test_a_good_redis_has_no_problem(whole_redis: Redis) -> None:
    """Its kind, memory and speed are reported."""
    found = list(check_redis(Deployment()))
    assert problems(found) == []
    text = " ".join(one.text for one in found)
    assert "Valkey" in text and "of 4,096 MiB" in text


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("maxmemory", "0", "WARNING: Redis has no maxmemory"),
        ("maxmemory", "900mb", "WARNING: maxmemory (900 MiB) is less than the tick log may take"),
        ("maxmemory", "1mb", "ERROR: Redis refuses to write"),
        ("maxmemory-policy", "allkeys-lru", "ERROR: Redis deletes prices"),
        ("appendonly", "no", "WARNING: the append-only file is off"),
        ("client-output-buffer-limit", "pubsub 33554432 8388608 60", "WARNING: Redis disconnects"),
    ],
)
def test_a_setting_of_redis(whole_redis: Redis, name: str, value: str, expected: str) -> None:
    """Each one that endangers prices comes with the value to set."""
    whole_redis.config_set(name, value)
    found = problems(check_redis(Deployment()))
    assert found and found[0].startswith(expected), found
    assert "set" in found[0] or "raise" in found[0]


def test_a_nearly_full_redis(whole_redis: Redis) -> None:
    """Above 75 % it is a warning, above 85 % an error."""
    used: Any = whole_redis.info("memory")
    used = used["used_memory"]
    for share, level in ((0.80, "WARNING"), (0.92, "ERROR")):
        whole_redis.config_set("maxmemory", int(used / share))
        assert problems(check_redis(Deployment()))[0].startswith(f"{level}: Redis has used")


def test_a_replica_is_named(whole_redis: Redis) -> None:
    """With what to write instead."""
    command(whole_redis, "REPLICAOF", "127.0.0.1", "1")
    (found,) = problems(check_redis(Deployment()))
    assert found.startswith("ERROR: ") and "replica" in found and "write" in found


def test_a_node_of_a_cluster_is_named(settings: Any) -> None:
    """A Cluster cannot be used."""
    with ValkeyProcess(free_port(), "--cluster-enabled", "yes") as node:
        settings.REDIS_URL = node.url
        (found,) = problems(check_redis(Deployment()))
        assert "Cluster" in found and "-> write the URL" in found


def test_no_redis(settings: Any) -> None:
    """The text names the address and the settings, and no password."""
    settings.REDIS_URL = f"redis://:pa55word@127.0.0.1:{free_port()}/0"
    (found,) = problems(check_redis(Deployment()))
    assert "does not answer" in found and "REDIS_URL" in found and "pa55word" not in found


def test_what_the_user_may_not_run_is_left_out(whole_redis: Redis, settings: Any) -> None:
    """A Redis user without CONFIG and INFO is no problem."""
    rules = "on >pa55word ~* &* +@all -config -info -time"
    command(whole_redis, "ACL", "SETUSER", "small", *rules.split())
    settings.REDIS_URL = settings.REDIS_URL.replace("://", "://small:pa55word@")
    try:
        found = list(check_redis(Deployment()))
    finally:
        command(whole_redis, "ACL", "DELUSER", "small")
    assert problems(found) == []
    assert "cannot be read by this user" in " ".join(one.text for one in found)


@pytest.mark.django_db
def test_a_wrong_clock(redis: Redis, set_clock: Callable[[float], None]) -> None:
    """The machine that is apart from Redis is named, with NTP as the cure."""
    assert problems(check_clocks(Deployment())) == []
    redis_clock.reset()
    set_clock(90)
    (found,) = problems(check_clocks(Deployment()))
    assert "90.0 s ahead of Redis's" in found and "(doctor)" in found and "NTP" in found


# -- databases -------------------------------------------------------------------------------------


@pytest.mark.django_db(databases=["default", "history"])
def test_databases_of_the_tests() -> None:
    """They have their migrations and can be written."""
    assert problems(check_migrations_of_all(Deployment())) == []
    found = list(check_databases(Deployment()))
    assert problems(found) == [] and "HISTORY_DATABASE_URL: SQLite" in found[-1].text


# -- calendar and instruments ----------------------------------------------------------------------


@pytest.mark.django_db
def test_the_calendar(redis: Redis) -> None:
    """Today's sessions are shown, provisional hours are named, and missing years."""
    today = today_in_india()
    Holiday.objects.filter(date__gte=today).delete()
    segment = "NSE_EQ"
    Holiday.objects.create(segment_id=segment, date=today, name="Test day", provisional=True)
    found = list(check_calendar(Deployment()))
    assert f"the hours of {today} (Test day) are provisional for NSE_EQ" in str(problems(found))
    assert "NSE_EQ closed (Test day)" in found[-1].text
    Holiday.objects.all().delete()
    assert "import_holidays" in problems(check_calendar(Deployment()))[0]


@pytest.mark.django_db
def test_the_master() -> None:
    """It is empty, or old, or has contracts that have expired; each is imported again."""
    assert "is empty" in problems(check_instruments(Deployment()))[0]
    today = today_in_india()
    reliance().save()
    call = nifty_call()
    call.expiry = today
    call.save()
    (found,) = check_instruments(Deployment())
    assert found.level is Level.OK and "1 contracts expire today" in found.text
    long_ago = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=15)
    Instrument.objects.filter(pk=call.pk).update(expiry=today - datetime.timedelta(days=3))
    Instrument.objects.update(last_seen=long_ago)
    expired, old = problems(check_instruments(Deployment()))
    assert "1 contracts have expired" in expired and "days of trade ago" in old
    assert "import_instruments" in expired and "import_instruments" in old


# -- processes -------------------------------------------------------------------------------------


def bridge_works(redis: Redis, **status: Any) -> None:
    redis.set(own_key("status:1"), msgspec.json.encode({"last_tick": now_ms(), **status}))


def recorder_works(redis: Redis, **status: Any) -> None:
    contents = {"recorded": 1, "behind": 0, "committed": now_ms(), "error": "", **status}
    redis.set(own_key("recorder:status"), msgspec.json.encode(contents))


@pytest.mark.django_db
def test_processes(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """What works is summed up; what does not is named with the command to run and the page."""
    found = {one.page: one for one in check_processes(Deployment()) if one.level is not Level.OK}
    assert found["prices-stopped"].level is Level.ERROR
    assert found["prices-stopped"].cure == "start `manage.py bridge_prices`"
    assert found["recorder-behind"].cure == "start `manage.py record_prices`"
    bridge_works(redis, received=1000, bad=2)
    recorder_works(redis, behind=3)
    well = list(check_processes(Deployment()))
    assert problems(well) == []
    assert "1,000 ticks since the start" in well[0].text and "3 ticks behind" in well[1].text
    monkeypatch.setattr(processes, "_open_segments", lambda: ["NSE_EQ"])
    bridge_works(redis, received=1000, bad=20, lag_ms=900, last_tick=now_ms() - 75_000)
    recorder_works(redis, error="disk full")
    text = "\n".join(problems(check_processes(Deployment())))
    for part in (
        "a write of the bridge to Redis took 900 ms",
        "NSE_EQ trade, and the bridge has received no tick for 75 s",
        "20 of 1000 messages of publishers were no ticks",
        "recorder: it stores nothing, and tries again: disk full",
    ):
        assert part in text
    bridge_works(redis, refused_names=1, refused=["AAPL: price must be above 0"], failed_tasks=[])
    text = "\n".join(problems(check_processes(Deployment())))
    assert "every tick of 1 names is refused" in text and "AAPL" in text


def test_ports(settings: Any, redis: Redis) -> None:
    """A port where nobody listens, or something else."""
    settings.PORT = free_port()
    (found,) = problems(check_ports(Deployment()))
    assert "no web server listens" in found and "manage.py serve" in found
    settings.PORT = int(settings.REDIS_URL.rpartition(":")[2].partition("/")[0])
    (found,) = problems(check_ports(Deployment()))
    assert "answers no health check" in found and "in use" in found


@pytest.mark.django_db
def test_kafka(settings: Any, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without brokers in the settings all is well; brokers that do not answer are named."""
    (found,) = check_kafka(Deployment())
    assert found.level is Level.OK
    settings.KAFKA_BOOTSTRAP_SERVERS, settings.KAFKA_TOPICS = f"127.0.0.1:{free_port()}", "prices"
    pytest.importorskip("confluent_kafka")
    monkeypatch.setattr(kafka_topics, "_TIMEOUT_S", 0.3)
    text = "\n".join(problems(check_kafka(Deployment())))
    assert "no broker answers" in text and "no consumer works" in text


# -- machine, packages, certificates ---------------------------------------------------------------


def test_disk(settings: Any, tmp_path: Path) -> None:
    """A disk with less room than QUOTES_MIN_FREE_DISK_BYTES is named."""
    settings.QUOTES_EMBEDDED_FOLDER = str(tmp_path)
    settings.QUOTES_MIN_FREE_DISK_BYTES = 1 << 60
    (found,) = problems(check_disk(Deployment()))
    assert "GB are free" in found and "make room" in found


def test_open_files(redis: Redis) -> None:
    """A low limit is named, with where to raise it."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1000, limits[1]))
        (found,) = problems(check_open_files(Deployment()))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert "may open 1000 files" in found and "LimitNOFILE" in found


def test_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that is missing, or another version, is named."""
    assert problems(check_packages(Deployment())) == []
    monkeypatch.setattr(packages, "_requirements", lambda: "Django==1.0\nno-such-package==2\n")
    django, missing = problems(check_packages(Deployment()))
    assert django.startswith("WARNING: Django is") and missing.startswith("ERROR: no-such-package")


def test_certificate_files(settings: Any, tmp_path: Path) -> None:
    """Files of Kafka's settings are read, too."""
    assert problems(check_certificates(Deployment())) == []
    settings.KAFKA_SSL_CERTIFICATE_LOCATION = str(write_certificate(tmp_path, days=10))
    settings.KAFKA_SSL_CA_LOCATION = str(tmp_path / "none.pem")
    ending, unreadable = problems(check_certificates(Deployment()))
    assert ending.startswith("WARNING: the certificate of KAFKA_SSL_CERTIFICATE_LOCATION ends on")
    assert unreadable.startswith("ERROR: KAFKA_SSL_CA_LOCATION is no readable PEM file")
