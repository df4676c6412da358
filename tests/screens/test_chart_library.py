"""The file that draws charts is taken from a wheel, checked, and put where it is served."""

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from quotes.screens import chart_library
from quotes.screens.chart_library import PLACE, ChartsError, get_charts, is_complete
from quotes.screens.management.commands import get_charts as command

CONTENT = b"/* stands for the library */"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place of its own, and a hash that the content of these tests has."""
    monkeypatch.setattr(chart_library, "SHA256", hashlib.sha256(CONTENT).hexdigest())
    return tmp_path / "vendor" / "charts.js"


def wheel(
    folder: Path, content: bytes, name: str = "pylightcharts/js/lightweight-charts.js"
) -> Path:
    """Write a wheel that pip takes for the package."""
    path = folder / "pylightcharts-0.1.6-py3-none-any.whl"
    about = "pylightcharts-0.1.6.dist-info/"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(name, content)
        file.writestr(
            about + "METADATA", "Metadata-Version: 2.1\nName: pylightcharts\nVersion: 0.1.6\n"
        )
        file.writestr(
            about + "WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr(about + "RECORD", "")
    return path


def test_pip_fetches_the_wheel_where_its_settings_say(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pip's own settings apply; one file is kept, and nothing is installed."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    wheel(tmp_path, CONTENT)
    get_charts(place=place)
    assert place.read_bytes() == CONTENT
    assert place.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in place.parent.iterdir()] == [place.name]
    assert is_complete(place)


@pytest.mark.parametrize("is_wheel", [True, False])
def test_file_may_be_on_this_machine(place: Path, tmp_path: Path, is_wheel: bool) -> None:
    """Without a network the wheel, or the file itself, is taken from a path."""
    source = tmp_path / "charts.js"
    source.write_bytes(CONTENT)
    get_charts(source=wheel(tmp_path, CONTENT) if is_wheel else source, place=place)
    assert is_complete(place)


def test_another_file_is_refused(place: Path, tmp_path: Path) -> None:
    """A file whose hash is another is not put there, nor over one that is right."""
    for content in (b"", CONTENT + b" ", b"x" * 3_000_000):
        with pytest.raises(
            ChartsError, match=r"not lightweight-charts 5\.2\.1: the SHA-256 must be"
        ):
            get_charts(source=wheel(tmp_path, content), place=place)
        assert not place.exists()
    get_charts(source=wheel(tmp_path, CONTENT), place=place)
    with pytest.raises(ChartsError):
        get_charts(source=wheel(tmp_path, b"other"), place=place)
    assert is_complete(place)
    place.write_bytes(b"damaged")
    assert not is_complete(place)


def test_what_is_wrong_is_said(place: Path, tmp_path: Path) -> None:
    """A wheel without the file, no wheel, no place to write: each has its sentence."""
    with pytest.raises(ChartsError, match=r"has no pylightcharts/js/lightweight-charts\.js"):
        get_charts(source=wheel(tmp_path, CONTENT, "other.js"), place=place)
    with pytest.raises(ChartsError, match=r"cannot read .*none\.whl"):
        get_charts(source=tmp_path / "none.whl", place=place)
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(ChartsError, match="cannot write"):
        get_charts(source=wheel(tmp_path, CONTENT), place=blocked / "charts.js")


def test_command_says_what_to_do_without_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names pip's reason and how to bring the file by hand."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setattr(command, "is_complete", lambda: False)
    with pytest.raises(CommandError) as caught:
        call_command("get_charts")
    assert "cannot download pylightcharts==0.1.6: ERROR: No matching distribution" in str(
        caught.value
    )
    assert "`--file` and the wheel" in str(caught.value)


@pytest.mark.parametrize(
    ("root", "text"),
    [(None, "; restart a server"), ("/srv/static", "; run `manage.py collectstatic`")],
)
def test_command_says_what_comes_next(
    settings: Any, monkeypatch: pytest.MonkeyPatch, root: str | None, text: str
) -> None:
    """It names collectstatic where STATIC_ROOT is set, and does nothing the second time."""
    settings.STATIC_ROOT = root
    complete = [False, True]
    monkeypatch.setattr(command, "is_complete", lambda: complete.pop(0))
    monkeypatch.setattr(command, "get_charts", lambda source: None)
    output = io.StringIO()
    call_command("get_charts", stdout=output)
    assert text in output.getvalue()
    call_command("get_charts", stdout=output)
    assert output.getvalue().endswith("lightweight-charts 5.2.1 is installed\n")


def test_makefile_and_notice_name_the_same_version() -> None:
    """`make charts` makes the file that the page loads; notice and license are kept."""
    root = PLACE.parents[5]
    assert f"CHARTS := {PLACE.relative_to(root)}\n" in (root / "Makefile").read_text()
    loader = PLACE.parents[1] / "panels" / "chart" / "library.js"
    assert f"../../vendor/{PLACE.name}" in loader.read_text()
    notice = (PLACE.parents[1] / "notices" / "lightweight-charts.txt").read_text()
    assert "Copyright (с) 2025 TradingView, Inc. https://www.tradingview.com/" in notice
    assert "Apache License" in notice
    assert "Lightweight Charts 5.2.1" in notice
