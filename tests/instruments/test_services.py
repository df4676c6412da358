import pytest
from django.db import transaction
from django.db.models import ProtectedError
from django.db.transaction import TransactionManagementError

from instruments.models import Holiday, Instrument, MasterVersion, Segment
from instruments.services import master_bump, master_delete, master_save
from tests.instruments.factories import m_and_m, reliance

pytestmark = pytest.mark.django_db


def version() -> tuple[int, int]:
    row = MasterVersion.objects.get()
    return row.version, row.rebuilt


def test_versions_grow() -> None:
    """Each bump gives a greater number, also where the row is missing or ahead of the clock."""
    first = master_bump()
    second = master_bump()
    assert first < second == version()[0]
    MasterVersion.objects.all().delete()
    assert master_bump() > second
    MasterVersion.objects.update(version=2**60)
    assert master_bump() == 2**60 + 1


def test_a_rebuild_is_kept_in_mind() -> None:
    """A process that slept through a rebuild can tell so later."""
    rebuilt = master_bump(rebuild=True)
    after = master_bump()
    assert version() == (after, rebuilt)


@pytest.mark.django_db(transaction=True)
def test_the_master_changes_in_a_transaction_only() -> None:
    """Without one, the version could be seen before the rows."""
    with pytest.raises(TransactionManagementError, match=r"use transaction\.atomic"):
        master_bump()
    with transaction.atomic():
        before = master_bump()
    with transaction.atomic():
        master_bump()
        transaction.set_rollback(True)
    assert version()[0] == before


def test_a_saved_instrument_has_the_version_of_its_change() -> None:
    """New, changed and unchanged rows are saved with a version of their own, without a rebuild."""
    row = reliance()
    master_save(row=row)
    first, rebuilt = version()
    assert Instrument.objects.get().master_version == first
    row.name = "RELIANCE"
    master_save(row=row)
    assert Instrument.objects.get().master_version == version()[0] > first
    assert version()[1] == rebuilt


def test_a_renamed_or_deleted_instrument_makes_a_rebuild() -> None:
    """Others cannot learn from the rows that a name is gone."""
    row, other = reliance(), m_and_m()
    master_save(row=row)
    master_save(row=other)
    row.symbol = "RIL"
    master_save(row=row)
    assert version()[0] == version()[1]
    before = version()[0]
    master_delete(rows=Instrument.objects.filter(pk=other.pk))
    assert version()[0] == version()[1] > before
    assert [each.symbol for each in Instrument.objects.all()] == ["RIL"]


def test_other_rows_need_no_rebuild() -> None:
    """Segments, aliases and hours are read whole at each change."""
    before = version()
    holiday = Holiday(segment_id="NFO", date="2027-01-26", name="Republic Day")
    master_save(row=holiday)
    middle = version()
    master_delete(rows=[holiday])
    assert before[0] < middle[0] < version()[0]
    assert before[1] == version()[1]


def test_a_refused_change_leaves_the_version() -> None:
    """What does not happen is not announced."""
    master_save(row=reliance())
    before = version()
    with pytest.raises(ProtectedError):
        master_delete(rows=Segment.objects.filter(code="NSE_EQ"))
    assert version() == before
