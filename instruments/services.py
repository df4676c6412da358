"""Changes of the instrument master: each keeps the version current in the same transaction.

Imports of whole files are elsewhere; they call `master_bump` too.
"""

import time
from collections.abc import Iterable

from django.db import models, transaction
from django.db.models import F
from django.db.models.functions import Greatest

from instruments.models import Instrument, MasterVersion
from instruments.renaming import former_name_add


def master_bump(*, rebuild: bool = False) -> int:
    """Give the master a new version and return it; call it first in the changing transaction.

    The version's row stays locked until the transaction ends, so versions are committed in their
    order and a process that has seen a version has seen all that came before it. An instrument
    whose content changes gets the number in `master_version`; one that was only seen again does
    not. Segments, aliases and hours need nothing but the bump.

    Args:
        rebuild: instruments are deleted or change their segment or symbol, so that every
            process must read all of them.

    Raises:
        TransactionManagementError: outside of a transaction.
    """
    if not transaction.get_connection().in_atomic_block:
        raise transaction.TransactionManagementError(
            "the master changes only within a transaction: use transaction.atomic()"
        )
    # Microseconds since 1970 where that is more: a database that was emptied or restored from a
    # copy then never shows a number again that some process takes for what it has.
    version = Greatest(F("version") + 1, models.Value(time.time_ns() // 1000))
    changes: dict[str, object] = {"version": version}
    if rebuild:
        changes["rebuilt"] = version
    if not MasterVersion.objects.filter(pk=1).update(**changes):
        MasterVersion.objects.bulk_create([MasterVersion(pk=1)], ignore_conflicts=True)
        MasterVersion.objects.filter(pk=1).update(**changes)
    return MasterVersion.objects.values_list("version", flat=True).get(pk=1)


@transaction.atomic
def master_save(*, row: models.Model) -> None:
    """Save one row of any table of the master, new or changed.

    An instrument whose symbol, segment or ISIN changes is found by the former one, too.
    """
    if not isinstance(row, Instrument):
        master_bump()
        row.save()
        return
    before = None
    if not row._state.adding:
        before = Instrument.objects.filter(pk=row.pk).values("segment_id", "symbol", "isin").first()
    renamed = before is not None and (before["segment_id"], before["symbol"]) != (
        row.segment_id,
        row.symbol,
    )
    row.master_version = master_bump(rebuild=renamed)
    row.save()
    if before is None:
        return
    for name, present in ((before["symbol"], row.symbol), (before["isin"], row.isin)):
        if name and (name != present or before["segment_id"] != row.segment_id):
            former_name_add(segment=before["segment_id"], name=name, instrument_id=row.pk)


@transaction.atomic
def master_delete(*, rows: Iterable[models.Model]) -> None:
    """Delete rows of any tables of the master.

    Raises:
        ProtectedError: a row is still referred to.
    """
    rows = list(rows)
    master_bump(rebuild=any(isinstance(row, Instrument) for row in rows))
    for row in rows:
        row.delete()


@transaction.atomic
def instruments_set_active(*, instruments: models.QuerySet[Instrument], active: bool) -> int:
    """Make instruments active or inactive, and return how many changed.

    Of several rows of one symbol only the newest becomes active, and none where one is.
    """
    changing = instruments.order_by().filter(active=not active)
    if active:
        twins = Instrument.objects.filter(
            active=True, segment=models.OuterRef("segment"), symbol=models.OuterRef("symbol")
        )
        groups = changing.exclude(models.Exists(twins)).values("segment", "symbol")
        rows = Instrument.objects.filter(
            pk__in=groups.annotate(newest=models.Max("pk")).values("newest")
        )
    else:
        rows = Instrument.objects.filter(pk__in=changing.values("pk"))
    return rows.update(active=active, master_version=master_bump()) if rows.exists() else 0
