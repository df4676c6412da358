"""The documents name everything that can be set or run, and point to what is there."""

import re
from pathlib import Path

import pytest

from instruments.conf import Setting
from instruments.conf import conf as instruments_conf
from quotes.conf import conf as quotes_conf
from quotes.kafka.conf import conf as kafka_conf
from tests.programs import ROOT

READ = re.compile(r'(?:required|port|boolean|choice|url|environ\.get)\(\s*"([A-Z][A-Z_]+)"')
APP_SETTINGS = [*quotes_conf.all(), *instruments_conf.all(), *kafka_conf.all()]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def sections(document: str) -> dict[str, str]:
    """Return the text under each heading of a document."""
    parts = re.split(r"^#+ (.+)$", (ROOT / document).read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def deployment_settings() -> set[str]:
    found = set(READ.findall((ROOT / "config" / "settings.py").read_text()))
    assert {"SECRET_KEY", "PORT", "REDIS_URL", "DEBUG", "LOG_LEVEL"} <= found
    return found


def test_each_setting_of_the_deployment_is_described() -> None:
    """What config/settings.py reads has a heading in docs/settings.md."""
    assert deployment_settings() <= set(sections("docs/settings.md"))


@pytest.mark.parametrize("setting", APP_SETTINGS, ids=lambda setting: setting.name)
def test_each_setting_of_the_apps_is_described(setting: Setting[object]) -> None:
    """It has a heading in docs/settings.md, and its default there is its default."""
    default = str(setting.default)
    if isinstance(setting.default, bool):
        default = default.lower()
    text = sections("docs/settings.md")[setting.name]
    assert f"Default: `{default}`." in text if default else "Default: empty." in text


def test_each_setting_described_is_one() -> None:
    """docs/settings.md has no heading of a setting that nobody reads."""
    code = (ROOT / "config" / "settings.py").read_text()
    known = {setting.name for setting in APP_SETTINGS}
    for name in sections("docs/settings.md"):
        if name.isupper():
            assert name in known or re.search(rf"\b{name}\b", code), name


@pytest.mark.parametrize("app", ["quotes", "quotes/history", "quotes/screens", "instruments"])
def test_each_command_is_described(app: str) -> None:
    """Every manage.py command has a heading in docs/commands.md."""
    folder = ROOT / app / "management" / "commands"
    commands = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert commands <= set(sections("docs/commands.md"))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_point_to_what_is_there(document: Path) -> None:
    """A link to a file of the project finds it."""
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text()):
        if "://" not in target:
            assert (document.parent / target).exists(), target


def test_env_example_names_settings_only() -> None:
    """Each line of .env.example, commented out or not, sets something that is read."""
    names = re.findall(r"^#?([A-Z][A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    assert {"SECRET_KEY", "PORT"} <= set(names)
    assert set(names) <= deployment_settings() | {setting.name for setting in APP_SETTINGS}
