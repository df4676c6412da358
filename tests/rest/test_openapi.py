"""The OpenAPI document is whole, a client generated from it works, and the server keeps to it."""

import asyncio
import importlib
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from django.test import Client
from redis import Redis

from benchmarks.rest_fuzzing.command import fuzzing_command
from instruments.index import index
from instruments.models import Instrument
from quotes.runtime.clock import now_ms
from tests.access.people import access_token, api_key, asha, publisher
from tests.access.test_url_keys import url_key
from tests.conftest import In
from tests.history.factories import minutes, ticks
from tests.instruments.factories import m_and_m, nifty50_index, reliance
from tests.live import LiveServer
from tests.ticks import message, publish

pytestmark = pytest.mark.django_db(databases=["default", "history"])

METHODS = ("get", "post", "put", "patch", "delete")
# A client's program may be installed by now, and compiled; the machine may be busy.
_RUN_S = 240


@cache
def document() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(Client().get("/api/schema/").content)
    return found


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in document()["paths"].items():
        for method in METHODS:
            if method in item:
                yield f"{method} {path}", item[method]


def schemas(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every schema within a part of the document."""
    if isinstance(value, dict):
        if "type" in value or "$ref" in value:
            yield value
        for inner in value.values():
            yield from schemas(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from schemas(inner)


def check(value: Any, schema: dict[str, Any]) -> None:
    """Raise jsonschema's ValidationError if a value is not of a schema of the document."""
    jsonschema.Draft202012Validator({**schema, "components": document()["components"]}).validate(
        value
    )


def test_every_operation_documents_its_errors() -> None:
    """All errors are one schema; those that end by themselves say when to try again."""
    for name, operation in operations():
        responses = operation["responses"]
        assert {"405", "429", "503"} <= set(responses), name
        assert operation["summary"] and operation["operationId"] and operation["tags"], name
        if operation["security"] != [{}]:
            assert {"401", "403"} <= set(responses), name
        if operation.get("parameters") or "requestBody" in operation:
            assert "400" in responses, name
        if "requestBody" in operation:
            assert {"413", "415"} <= set(responses), name
        for status, response in responses.items():
            if status >= "400":
                (content,) = response["content"].values()
                is_text = "text/plain" in response["content"]
                error = {"type": "string"} if is_text else {"$ref": "#/components/schemas/Error"}
                assert content["schema"] == error, f"{name} {status}"
            if status in ("429", "503"):
                assert response["headers"]["Retry-After"]["required"], f"{name} {status}"


def test_every_value_has_a_type() -> None:
    """No list of anything, no object without properties but that of an empty answer."""
    for schema in schemas(document()):
        if schema.get("type") == "array":
            assert schema.get("items") or schema.get("prefixItems"), schema
    for schema in document()["components"]["schemas"].values():
        if schema.get("type") == "object":
            assert schema["properties"]


def test_identifiers_are_unique_and_names_are_plain() -> None:
    """Generators of clients make names of operation ids, tags and security schemes."""
    names = [operation["operationId"] for _, operation in operations()]
    assert len(set(names)) == len(names)
    assert {tag["name"] for tag in document()["tags"]} == {
        tag for _, operation in operations() for tag in operation["tags"]
    }
    schemes = document()["components"]["securitySchemes"]
    assert set(schemes) == {"bearer", "apiKey", "urlKey", "session"}
    assert document()["openapi"].startswith("3.1.")


def test_examples_are_of_their_schemas() -> None:
    """Each example of an answer in JSON is one."""
    count = 0
    for _, operation in operations():
        for response in operation["responses"].values():
            content = response.get("content", {}).get("application/json", {})
            values = [one["value"] for one in content.get("examples", {}).values()]
            for value in [*values, *([content["example"]] if "example" in content else [])]:
                check(value, content["schema"])
                count += 1
    assert count > 50


def test_security_says_whether_anonymous_callers_are_let_in(settings: Any) -> None:
    """`{}` among the schemes means that a request needs none."""
    for auth, expected in (("optional", True), ("required", False)):
        settings.QUOTES_AUTH = auth
        found = yaml.safe_load(Client().get("/api/schema/").content)
        assert ({} in found["paths"]["/api/prices/"]["get"]["security"]) is expected
        assert {} not in found["paths"]["/api/prices/"]["post"]["security"]


@pytest.fixture
async def key(live: LiveServer, database: In, redis: Redis) -> AsyncIterator[str]:
    """A key of a user who may do everything, and shares with prices and a past."""

    def prepare() -> str:
        Instrument.objects.bulk_create([reliance(), m_and_m(), nifty50_index()])
        index.refresh()
        minutes(3)
        ticks([(1712289301000, "2929.85"), (1712289302000, "2930.05")])
        return api_key(publisher("feedhandler", "*"), scope="both")

    text = await database(prepare)
    publish(redis, "RELIANCE", message("RELIANCE", "2950.05", now_ms()))
    yield text
    await database(lambda: (Instrument.objects.all().delete(), index.refresh()))


def generated(folder: Path) -> None:
    """Generate a client into a folder."""
    (folder / "openapi.yml").write_text(yaml.safe_dump(document(), sort_keys=False))
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none"]
    # A schema that the generator leaves out is a warning.
    options = ["--path", "openapi.yml", "--output-path", "generated_client", "--fail-on-warning"]
    (folder / "config.yml").write_text("post_hooks: []\n")
    done = subprocess.run(
        [*command, *options, "--config", "config.yml"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=_RUN_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(300)
@pytest.mark.django_db(transaction=True, databases=["default", "history"])
async def test_generated_client_reads_prices_candles_and_ticks(
    live: LiveServer, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """openapi-python-client makes a typed client of the document, without one warning."""
    await asyncio.to_thread(generated, tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    root = importlib.import_module("generated_client")
    models = importlib.import_module("generated_client.models")

    async def call(name: str, *arguments: Any, **keywords: Any) -> Any:
        module = importlib.import_module(f"generated_client.api.{name}")
        return await module.asyncio(*arguments, client=client, **keywords)

    url = f"http://127.0.0.1:{live.port}"
    day: dict[str, Any] = {"from_": "2024-04-05", "to": "2024-04-05"}
    minute = models.CandlesListInterval.MINUTE
    try:
        async with root.AuthenticatedClient(base_url=url, token=key, prefix="Api-Key") as client:
            prices = await call("prices.prices_list", symbols="RELIANCE,NIFTY 50")
            assert isinstance(prices.prices[0], models.Price)
            assert (prices.prices[0].symbol, prices.prices[0].price) == ("RELIANCE", 2950.05)
            assert prices.missing == ["NIFTY 50"]

            page = await call("history.candles_list", "RELIANCE", interval=minute, **day)
            assert page.instrument == "NSE_EQ:RELIANCE"
            assert page.candles[0][1:5] == [100.1, 100.9, 100.05, 100.5]
            day["rows"] = models.CandlesListRows.OBJECTS
            page = await call("history.candles_list", "RELIANCE", interval=minute, **day)
            assert isinstance(page.candles[0], models.Candle) and page.candles[0].high == 100.9

            day["rows"] = models.TicksListRows.ARRAYS
            page = await call("history.ticks_list", "RELIANCE", **day)
            assert [row[1] for row in page.ticks] == [2929.85, 2930.05]
            day["rows"] = models.TicksListRows.OBJECTS
            page = await call("history.ticks_list", "RELIANCE", **day)
            assert isinstance(page.ticks[1], models.RecordedTick)
            assert page.ticks[1].price == 2930.05

            tick = models.Tick(symbol="RELIANCE", price=2951.5)
            published = await call("prices.prices_publish", body=tick)
            assert (published.accepted, published.rejected) == (1, 0)
            chain = await call("instruments.instruments_option_chain", "NOPE")
            assert isinstance(chain, models.Error) and chain.code == 404
        async with root.Client(base_url=url) as client:
            refused = await call("prices.prices_publish", body=tick)
            assert isinstance(refused, models.Error) and refused.code == 401
    finally:
        for name in [name for name in sys.modules if name.startswith("generated_client")]:
            del sys.modules[name]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.django_db(transaction=True, databases=["default", "history"])
async def test_generated_requests_are_answered_as_documented(
    live: LiveServer, key: str, settings: Any, tmp_path: Path
) -> None:
    """The short form of `python -m benchmarks.rest_fuzzing`, always with the same requests."""
    settings.QUOTES_REST_PER_MINUTE = settings.QUOTES_LOGIN_PER_MINUTE = 1_000_000
    command = fuzzing_command(
        f"http://127.0.0.1:{live.port}",
        key=key,
        examples=6,
        seed=1,
        phases=("examples", "fuzzing"),
    )
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=tmp_path,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(_RUN_S):
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()[-6000:]


def throttled_by_user(settings: Any) -> Any:
    settings.QUOTES_REST_PER_MINUTE = 1
    bearer = {"Authorization": f"Bearer {access_token(asha('*'))}"}
    return lambda: Client().get("/api/prices/RELIANCE/", headers=bearer)


def throttled_by_url_key(settings: Any) -> Any:
    settings.QUOTES_URL_KEY_PER_MINUTE = 1
    address, key = "/api/instruments/RELIANCE/candles/", url_key(asha("*"))
    return lambda: Client().get(address, {"interval": "1m", "key": key})


def throttled_by_login(settings: Any) -> Any:
    settings.QUOTES_LOGIN_PER_MINUTE = 1
    return lambda: Client().post("/api/token/", {"username": "asha", "password": "x"})


def locked_out(settings: Any) -> Any:
    settings.QUOTES_LOGIN_PER_MINUTE = 1000
    return lambda: Client().post("/api/token/", {"username": "asha", "password": "x"})


@pytest.mark.parametrize(
    "too_many", [throttled_by_user, throttled_by_url_key, throttled_by_login, locked_out]
)
def test_too_many_requests_are_answered_as_documented(
    too_many: Any, settings: Any, redis: Redis
) -> None:
    """429 is an Error, and Retry-After a whole number of seconds."""
    call = too_many(settings)
    # More than a limit of one a minute, also if a minute begins meanwhile, or than a lock-out.
    answer = next(found for _ in range(9) if (found := call()).status_code == 429)
    check(answer.json(), {"$ref": "#/components/schemas/Error"})
    assert int(answer["Retry-After"]) >= 0


@pytest.mark.parametrize(
    ("body", "host"), [({f"f{number}": "" for number in range(1001)}, "testserver"), ({}, "evil")]
)
def test_requests_that_reach_no_view_are_answered_as_documented(body: Any, host: str) -> None:
    """More fields than a form may have, and a host that is not ours, are an Error of code 400."""
    answer: Any = Client(headers={"host": host}).post("/api/token/", body)
    assert answer.status_code == 400
    check(answer.json(), {"$ref": "#/components/schemas/Error"})
