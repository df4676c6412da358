"""manage.py doctor: its table, its JSON, its exit codes, and that it ends."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from redis import Redis

from quotes.doctor.checks import NAMES
from quotes.doctor.deployment import Deployment
from quotes.doctor.findings import Finding, Level, Result, error, from_sentence, ok, warning
from quotes.doctor.printing import as_json, lines, summary
from quotes.doctor.running import Check, run_checks, without_passwords
from tests.ports import free_port
from tests.programs import ROOT
from tests.valkey import ValkeyProcess
from tests.waiting import DEADLINE_S


def run(*options: str, **environment: str) -> tuple[int, str]:
    """Return the exit code and all output of the command in a process of its own."""
    ended = subprocess.run(
        [sys.executable, "manage.py", "doctor", *options],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return ended.returncode, ended.stdout + ended.stderr


def test_everything_is_away_and_it_ends(
    tmp_path: Path, redis_server: ValkeyProcess, redis: Redis
) -> None:
    """With a hanging Redis and an empty database each check says so, and no secret is shown."""
    secrets = {
        "SECRET_KEY": "Zq8xSecretOfTheTest",
        "REDIS_URL": redis_server.url.replace("://", "://:redisPa55@"),
        "DATABASE_URL": f"postgres://u:dbPa55@127.0.0.1:{free_port()}/prices",
        "HISTORY_DATABASE_URL": f"sqlite:///{tmp_path / 'history.sqlite3'}",
    }
    redis_server.pause()
    try:
        begun = time.monotonic()
        code, output = run("--json", PORT=str(free_port()), **secrets)
        assert time.monotonic() - begun < 2 * DEADLINE_S
    finally:
        redis_server.resume()
    assert code == 2, output
    report = json.loads(output)
    levels = {one["check"]: one["level"] for one in report["findings"]}
    assert report["level"] == "error" and set(levels) == set(NAMES) - {"url"}
    problems = [one for one in report["findings"] if one["level"] != "ok"]
    assert all(one["cure"] for one in problems)
    assert {"migrations", "databases", "redis", "processes", "calendar", "instruments"} <= {
        one["check"] for one in problems if one["level"] == "error"
    }
    for secret in ("Zq8xSecretOfTheTest", "redisPa55", "dbPa55"):
        assert secret not in output


def test_exit_codes(redis: Redis, settings: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """0 all is well, 1 warnings, 2 errors and wrong options."""
    call_command("doctor", "--only", "disk,certificates")
    assert capsys.readouterr().out.endswith("all is well\n")
    settings.PORT = free_port()
    with pytest.raises(SystemExit) as ended:
        call_command("doctor", "--only", "ports")
    assert ended.value.code == 1
    output = capsys.readouterr().out
    assert output.startswith("warning  ports         no web server listens")
    assert "-> start `manage.py serve`" in output and output.endswith("0 errors, 1 warning\n")
    settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"
    with pytest.raises(SystemExit) as ended:
        call_command("doctor", "--only", "redis")
    assert ended.value.code == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--only", "redis,nonsense"], "--only must name checks out of settings,"),
        (["--only", "url"], "--only url needs --url"),
        (["--url", "prices.example.com"], "--url must look like https://"),
        (["--token-file", "/nonexistent"], "--token-file cannot be read"),
        (["--token-file", "EMPTY"], "--token-file must hold one token"),
        (["--deadline", "0"], "--deadline must be above 0"),
        (["--deadline", "nan"], "--deadline must be above 0"),
    ],
)
def test_wrong_options(options: list[str], message: str, tmp_path: Path) -> None:
    """They are refused with exit code 2 before anything is checked."""
    (tmp_path / "empty").touch()
    options = [str(tmp_path / "empty") if one == "EMPTY" else one for one in options]
    with pytest.raises(CommandError, match=message) as refused:
        call_command("doctor", *options)
    assert refused.value.returncode == 2


# -- running ---------------------------------------------------------------------------------------


def test_a_check_that_hangs_or_fails_is_named(settings: Any) -> None:
    """The others are not held up, and no password of a URL gets into a text."""
    settings.REDIS_URL = "redis://:pa55word%21@127.0.0.1/0"
    released = threading.Event()

    def hangs(deployment: Deployment) -> Iterator[Finding]:
        yield ok("so far")
        released.wait(DEADLINE_S)

    def fails(deployment: Deployment) -> Iterator[Finding]:
        yield ok("first")
        raise RuntimeError("cannot use pa55word%21 or pa55word!\nsecond line")

    def works(deployment: Deployment) -> Iterator[Finding]:
        yield warning("small", "change it")

    checks = [Check("a", "", hangs), Check("b", "", fails), Check("c", "", works)]
    found = list(run_checks(checks, Deployment(), deadline_s=0.2))
    released.set()
    assert [(name, one.level, one.text) for name, one in found] == [
        ("a", Level.OK, "so far"),
        ("a", Level.ERROR, "the check did not end within 0.2 s"),
        ("b", Level.OK, "first"),
        (
            "b",
            Level.ERROR,
            "could not be checked (RuntimeError: cannot use [hidden] or [hidden])",
        ),
        ("c", Level.WARNING, "small"),
    ]


def test_passwords_of_options_are_hidden_too(settings: Any) -> None:
    """Sentinels have one of their own, in the URL's query."""
    settings.REDIS_URL = "redis+sentinel://:first%21@a,b/m?sentinel_password=second%21"
    assert without_passwords("first! second! first%21") == "[hidden] [hidden] [hidden]"


# -- printing --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sentence", "text", "cure"),
    [
        ("no bridge works: start `x`", "no bridge works", "start `x`"),
        ("a: b: run `y: z`", "a: b", "run `y: z`"),
        ("the address localhost:80 is odd", "the address localhost:80 is odd", "look"),
        ("a: runs already", "a: runs already", "look"),
        ("", "", "look"),
    ],
)
def test_sentences_of_readyz(sentence: str, text: str, cure: str) -> None:
    """A sentence is cut where its instruction begins; one without gets the cure of its check."""
    found = from_sentence(Level.WARNING, sentence, "look")
    assert (found.text, found.cure) == (text, cure)


def test_lines_fit_and_control_nothing() -> None:
    """Lines are wrapped, colours are for terminals, and text from outside cannot move a cursor."""
    result = Result("redis", error("bad \x1b[2J " + "word " * 40, "set it", "redis-full"))
    plain = list(lines(result, width=80, is_coloured=False))
    assert all(len(line) <= 80 for line in plain) and "\x1b" not in "".join(plain)
    assert plain[0].startswith("error    redis         bad ?[2J word")
    assert plain[-1].strip() == "-> set it (docs/runbooks.md#redis-full)"
    coloured = list(lines(result, width=80, is_coloured=True))
    assert coloured[0].startswith("\x1b[31merror  \x1b[0m  redis") and coloured[1:] == plain[1:]


def test_summary_and_json() -> None:
    """The last line counts; the JSON has the worst level."""
    results = [Result("a", ok("x")), Result("b", warning("y", "z")), Result("c", error("e", "f"))]
    assert summary(results) == "1 error, 1 warning" and summary(results[:1]) == "all is well"
    report = json.loads(as_json(results))
    assert report["level"] == "error" and report["findings"][1]["cure"] == "z"
    assert json.loads(as_json([]))["level"] == "ok"
