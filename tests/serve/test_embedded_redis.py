import signal
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
from redis import Redis

from quotes.serve.embedded_redis import EmbeddedServer, embedded_server
from quotes.serve.redis_probe import RedisUnavailable, answers, ping
from tests.ports import free_port
from tests.waiting import wait_until


@contextmanager
def started(server: EmbeddedServer, url: str) -> Iterator[None]:
    """Run an embedded server for the length of a block."""
    process = subprocess.Popen(server.command, cwd=server.folder, stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: answers(url))
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


def client(url: str) -> Redis:
    return Redis.from_url(url, socket_timeout=5, decode_responses=True)


def test_an_embedded_server_listens_on_loopback_with_bounds(tmp_path: Path) -> None:
    """It takes connections of this machine only, refuses writes when full and drops no key."""
    url = f"redis://localhost:{free_port()}/20"
    with started(embedded_server(url, tmp_path), url), client(url) as redis:
        config = redis.config_get("*")
        assert config["bind"] == "127.0.0.1 -::1"
        assert config["protected-mode"] == "yes"
        assert config["maxmemory-policy"] == "noeviction"
        assert int(config["maxmemory"]) == 2 << 30
        assert "pubsub 268435456 67108864 60" in config["client-output-buffer-limit"]


def test_an_embedded_server_binds_the_address_of_the_url(tmp_path: Path) -> None:
    """127.0.0.1 and no other address, when the URL says so."""
    url = f"redis://127.0.0.1:{free_port()}/0"
    with started(embedded_server(url, tmp_path), url), client(url) as redis:
        assert redis.config_get("bind") == {"bind": "127.0.0.1"}


@pytest.mark.parametrize(("persistent", "after"), [(True, "189.45"), (False, None)])
def test_prices_survive_a_restart_unless_told_otherwise(
    tmp_path: Path, persistent: bool, after: str | None
) -> None:
    """What was set before an ordered end is there after the next start."""
    url = f"redis://127.0.0.1:{free_port()}/0"
    server = embedded_server(url, tmp_path, persistent=persistent)
    with started(server, url), client(url) as redis:
        redis.set("stock:AAPL", "189.45")
    server = embedded_server(url, tmp_path, persistent=persistent)
    with started(server, url), client(url) as redis:
        assert redis.get("stock:AAPL") == after


def test_the_password_is_asked_for_and_kept_secret(tmp_path: Path) -> None:
    """With a password in the URL nobody gets in without it, and no file or command shows it."""
    password = "h@sh \"quote' \\ #%\n"
    port = free_port()
    url = f"redis://:{quote(password, safe='')}@127.0.0.1:{port}/0"
    server = embedded_server(url, tmp_path)
    path = server.folder / "valkey.conf"
    assert password not in path.read_text() + " ".join(server.command)
    assert "h@sh" not in path.read_text()
    with started(server, url):
        ping(url)
        with pytest.raises(RedisUnavailable, match="requires a password: set REDIS_URL"):
            ping(f"redis://127.0.0.1:{port}/0")
        with pytest.raises(RedisUnavailable, match=r"refuses the .*password") as caught:
            ping(f"redis://:wrong-one@127.0.0.1:{port}/0")
        assert "wrong-one" not in str(caught.value)


def test_a_user_name_in_the_url_is_the_only_user(tmp_path: Path) -> None:
    """With a user name in the URL the default user is shut out."""
    port = free_port()
    url = f"redis://feed:hush@127.0.0.1:{port}/0"
    with started(embedded_server(url, tmp_path), url):
        ping(url)
        with pytest.raises(RedisUnavailable, match="requires a password"):
            ping(f"redis://127.0.0.1:{port}/0")


@pytest.mark.parametrize("name", ["a b", "a\nuser default on nopass", "a\x00"])
def test_a_user_name_cannot_write_configuration(tmp_path: Path, name: str) -> None:
    """A user name with spaces or line ends is refused."""
    url = f"redis://{quote(name, safe='')}:hush@127.0.0.1:{free_port()}/0"
    with pytest.raises(RedisUnavailable, match="user name"):
        embedded_server(url, tmp_path)


def test_files_are_for_this_user_only(tmp_path: Path) -> None:
    """Folder 0700, configuration 0600, also where they were laxer before; a folder per port."""
    folder = tmp_path / "var" / "valkey"
    folder.mkdir(mode=0o755, parents=True)
    server = embedded_server("redis://:hush@localhost:7123/0", folder)
    assert server.folder == folder / "7123"
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (folder, server.folder)]
    assert modes == [0o700, 0o700]
    assert stat.S_IMODE((server.folder / "valkey.conf").stat().st_mode) == 0o600
    (server.folder / "valkey.conf").chmod(0o644)
    embedded_server("redis://:hush@localhost:7123/0", folder)
    assert stat.S_IMODE((server.folder / "valkey.conf").stat().st_mode) == 0o600


def test_a_remote_address_has_no_embedded_server(tmp_path: Path) -> None:
    """Only a local address can be stood in for."""
    with pytest.raises(ValueError, match="needs a local address"):
        embedded_server("redis://redis.example.com:6379/0", tmp_path)
