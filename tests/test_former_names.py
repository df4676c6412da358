"""Start commands and settings that were written down for release 0.1.0."""

import importlib
import subprocess
import sys

import pytest
from django.utils.module_loading import import_string

from quotes.websocket.transports import uvicorn
from tests.programs import ROOT


@pytest.mark.parametrize(
    ("module", "name", "option"),
    [
        ("quotes.uvicorn_transport", "PriceWebSocketProtocol", "--ws"),
        ("quotes.uvicorn_http", "PriceHTTPProtocol", "--http"),
    ],
)
def test_former_names_for_uvicorn_work_and_name_the_new_ones(
    module: str, name: str, option: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The option of release 0.1.0 starts the same protocol and says once what to write now."""
    sys.modules.pop(module, None)
    for _ in range(2):
        assert getattr(importlib.import_module(module), name) is getattr(uvicorn, name)
    (record,) = caplog.records
    assert f"{option} quotes.websocket.transports.uvicorn:{name}" in record.message


def test_former_daphne_command_works_and_names_the_new_one() -> None:
    """`python -m quotes.daphne_server` is Daphne with prepared frames."""
    done = subprocess.run(
        [sys.executable, "-m", "quotes.daphne_server", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0 and "--websocket_timeout" in done.stdout
    assert done.stderr.count("python -m quotes.websocket.transports.daphne") == 1


@pytest.mark.parametrize(
    ("former", "name"),
    [
        ("quotes.store.latest_prices", "quotes.store.latest.latest_prices"),
        ("quotes.access.rest.allowed_keys", "quotes.access.rest.permissions.allowed_keys"),
        ("quotes.layer.QuotesChannelLayer", "quotes.layer.channel_layer.QuotesChannelLayer"),
    ],
)
def test_former_values_of_settings_name_the_same(former: str, name: str) -> None:
    """A dotted name in a setting of release 0.1.0 is found."""
    assert import_string(former) is import_string(name)


@pytest.mark.parametrize("package", ["quotes.store", "quotes.access.rest"])
def test_other_names_are_not_made_up(package: str) -> None:
    """What is not there is an AttributeError."""
    with pytest.raises(AttributeError):
        _ = importlib.import_module(package).nothing
