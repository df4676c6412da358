"""An import in admin shows what would change, and changes it when that is confirmed."""

import gzip
import io
import re
import time
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client

from instruments import uploads
from instruments.models import Instrument, MasterVersion
from tests.instruments import data

pytestmark = pytest.mark.django_db

PAGE = "/admin/instruments/instrument/import/"
APPLY = f"{PAGE}apply/"
KITE = (data.FOLDER / "kite.csv").read_bytes()


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, settings: Any) -> Path:
    """The folder of uploads."""
    settings.BASE_DIR = tmp_path
    return uploads.folder()


@pytest.fixture
def operator() -> Client:
    return logged_in("operator", "add_instrument", "change_instrument", "view_instrument")


def logged_in(name: str, *permissions: str) -> Client:
    user = get_user_model().objects.create_user(name, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


def upload(client: Client, content: bytes, **fields: str) -> str:
    """Upload a file and return the page that answers."""
    file = io.BytesIO(content)
    file.name = "instruments.csv"
    response = client.post(PAGE, {"file": file, **fields})
    assert response.status_code == 200
    return response.content.decode()


def ticket(text: str) -> str:
    found = re.search(r'name="ticket" value="([^"]+)"', text)
    assert found, text
    return found[1]


def test_upload_shows_what_would_change_and_changes_nothing(operator: Client, kept: Path) -> None:
    """The preview lists the instruments; the file waits where only the server can read it."""
    before = MasterVersion.objects.get(pk=1).version
    text = upload(operator, gzip.compress(KITE))
    assert "would change 16 instruments. Nothing is changed until you import it." in text
    assert "NSE_EQ:M&amp;M" in text
    assert not Instrument.objects.exists()
    assert MasterVersion.objects.get(pk=1).version == before
    (file,) = kept.iterdir()
    assert (file.stat().st_mode & 0o777, kept.stat().st_mode & 0o777) == (0o600, 0o700)
    assert re.fullmatch(r"[0-9a-f]{32}", file.name)


def test_confirmation_applies_the_file_once(operator: Client, kept: Path) -> None:
    """What was shown is done, the file is removed, and its ticket is worth nothing more."""
    token = ticket(upload(operator, KITE))
    response = operator.post(APPLY, {"ticket": token, "confirm": "Import"}, follow=True)
    assert "Imported instruments.csv: kite: 16 new" in response.content.decode()
    assert Instrument.objects.count() == 16
    assert not list(kept.iterdir())
    response = operator.post(APPLY, {"ticket": token}, follow=True)
    assert "Upload the file again: the server no longer has it." in response.content.decode()


def test_flags_of_the_upload_are_those_of_the_import(operator: Client) -> None:
    """What was chosen with the file counts when it is confirmed."""
    operator.post(APPLY, {"ticket": ticket(upload(operator, KITE))})
    less = b"\n".join(line for line in KITE.splitlines() if b"FUT" not in line) + b"\nbad"
    text = upload(operator, less)
    assert "was refused because rows were rejected" in text
    assert "line 16, record 15: a row must have 12 columns, got 1" in text
    assert 'name="ticket"' not in text
    text = upload(operator, less, skip_bad_rows="on", deactivate_missing="on")
    assert "there is nothing to change" in text
    assert "No instrument would become inactive, because rows were rejected" in text
    text = upload(operator, less.removesuffix(b"bad"), deactivate_missing="on")
    assert "NFO:M&amp;M26AUGFUT" in text
    operator.post(APPLY, {"ticket": ticket(text)})
    assert Instrument.objects.filter(active=False).count() == 2


def test_file_that_is_of_no_use_is_not_kept(operator: Client, kept: Path) -> None:
    """Broken files, refused ones and those without news are removed at once."""
    assert "line 1: not an instrument file of kite or" in upload(operator, b"a,b\n1,2\n")
    assert "the gzip data is cut short" in upload(operator, gzip.compress(KITE)[:100])
    assert "was refused" in upload(operator, KITE + b"bad")
    assert "this is a file of kite, not of dhan" in upload(operator, KITE, vendor="dhan")
    assert not list(kept.iterdir())
    assert not Instrument.objects.exists()


def test_file_can_be_discarded(operator: Client, kept: Path) -> None:
    """A preview that is not wanted leaves nothing behind."""
    token = ticket(upload(operator, KITE))
    response = operator.post(APPLY, {"ticket": token, "discard": "Discard"}, follow=True)
    assert "The file was discarded, nothing was changed." in response.content.decode()
    assert not list(kept.iterdir())
    assert not Instrument.objects.exists()


def test_large_file_is_refused(operator: Client, kept: Path, settings: Any) -> None:
    """A file above the limit is not kept."""
    settings.INSTRUMENTS_MAX_UPLOAD_BYTES = 1024
    assert "The file is larger than 1,024 bytes" in upload(operator, KITE)
    assert not kept.exists()


def test_forgotten_files_are_swept_away(
    operator: Client, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that nobody confirmed within the hour goes with the next upload."""
    token = ticket(upload(operator, KITE))
    (old,) = kept.iterdir()
    later = time.time() + uploads.LIFE_S + 1
    monkeypatch.setattr(time, "time", lambda: later)
    assert uploads.redeem(token, user_id=int(operator.session["_auth_user_id"])) is None
    upload(operator, KITE)
    assert old not in kept.iterdir()
    assert len(list(kept.iterdir())) == 1


@pytest.mark.parametrize("value", ["", "nonsense", "a:b:c", "../../etc/passwd"])
def test_forged_ticket_opens_nothing(operator: Client, value: str) -> None:
    """A ticket that the server did not sign leads to no file."""
    upload(operator, KITE)
    response = operator.post(APPLY, {"ticket": value}, follow=True)
    assert "Upload the file again" in response.content.decode()
    assert not Instrument.objects.exists()


def test_ticket_of_another_person_opens_nothing(operator: Client) -> None:
    """An upload is confirmed by who uploaded it."""
    token = ticket(upload(operator, KITE))
    other = logged_in("other", "add_instrument", "change_instrument")
    other.post(APPLY, {"ticket": token})
    assert not Instrument.objects.exists()
    operator.post(APPLY, {"ticket": token})
    assert Instrument.objects.count() == 16


@pytest.mark.parametrize(
    "permissions", [(), ("view_instrument",), ("change_instrument",), ("add_instrument",)]
)
def test_import_needs_both_permissions(permissions: tuple[str, ...], kept: Path) -> None:
    """Who may not add and change instruments can neither upload nor apply, nor sees the link."""
    client = logged_in("somebody", *permissions)
    assert client.get(PAGE).status_code == 403
    assert client.post(PAGE, {"file": io.BytesIO(KITE)}).status_code == 403
    assert client.post(APPLY, {"ticket": "x"}).status_code == 403
    assert not kept.exists()
    if "view_instrument" in permissions:
        assert b"Import a file" not in client.get("/admin/instruments/instrument/").content


def test_import_is_linked_from_the_list(operator: Client) -> None:
    """Who may import finds the page from the list."""
    assert PAGE.encode() in operator.get("/admin/instruments/instrument/").content


def test_stranger_is_sent_to_the_login() -> None:
    """Without a login there is no page of an import."""
    for url in (PAGE, APPLY):
        response = Client().post(url, {"file": io.BytesIO(KITE)})
        assert response.status_code == 302
        assert response["Location"].startswith("/admin/login/")


def test_forms_are_protected_against_forgery() -> None:
    """Both steps refuse a form that did not come from their own page."""
    user = get_user_model().objects.create_superuser("operator")
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    assert client.post(PAGE, {"file": io.BytesIO(KITE)}).status_code == 403
    assert client.post(APPLY, {"ticket": "x"}).status_code == 403


def test_applying_is_not_done_by_a_link(operator: Client) -> None:
    """A GET applies nothing."""
    assert operator.get(APPLY).status_code == 405
