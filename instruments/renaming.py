"""Renames: which instruments that a file lacks go on under another symbol, and their former names.

A rename is only what the file proves; what it makes likely is reported, and an operator can enter
the former name in admin.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from django.db.models import Q

from instruments.formats.rows import MasterRow
from instruments.market import CASH_SEGMENTS, DERIVATIVE_SEGMENTS
from instruments.models import FormerName, Instrument

# Of an ISIN: country, issuer and kind of security. Shares that are split get another number.
_ISSUER = 9
_BATCH = 400


class Rename(NamedTuple):
    """An instrument of the master, and the row of the file that goes on with it.

    Attributes:
        is_proven: False: it has the same token, and nothing else says so.
    """

    old: Instrument
    new: MasterRow
    is_proven: bool


def find_renames(rows: Iterable[MasterRow], missing: Q, *, whole_file: bool) -> Iterator[Rename]:
    """Yield the renames among rows of a file whose symbols the master did not have.

    An instrument that could be several rows, or a row that could be several instruments, is no
    rename.

    Args:
        missing: selects the instruments that the file does not have.
        whole_file: the file has every instrument of its segments.
    """
    segments: dict[str, list[MasterRow]] = {}
    for row in rows:
        segments.setdefault(row.segment, []).append(row)
    for segment, new in segments.items():
        found = [
            Rename(old, row, proof)
            for old, row in _candidates(segment, new, missing)
            if (proof := _proof(old, row, whole_file=whole_file)) is not None
        ]
        for is_proven in (True, False):
            some = [one for one in found if one.is_proven is is_proven]
            yield from (one for one in some if _is_only(one, some))
            taken = {one.old.pk for one in some} | {one.new.symbol for one in some}
            found = [
                one for one in found if one.old.pk not in taken and one.new.symbol not in taken
            ]


def _candidates(
    segment: str, rows: list[MasterRow], missing: Q
) -> Iterator[tuple[Instrument, MasterRow]]:
    """Yield pairs of an instrument that the file lacks and a row with its token or ISIN."""
    for start in range(0, len(rows), _BATCH):
        batch = rows[start : start + _BATCH]
        tokens: dict[int, list[MasterRow]] = {}
        isins: dict[str, list[MasterRow]] = {}
        for row in batch:
            if row.exchange_token is not None:
                tokens.setdefault(row.exchange_token, []).append(row)
            if row.isin:
                isins.setdefault(row.isin, []).append(row)
        alike = Q(exchange_token__in=list(tokens)) | Q(isin__in=list(isins))
        for old in Instrument.objects.filter(missing, alike, segment=segment, active=True):
            same = [*tokens.get(old.exchange_token or -1, []), *isins.get(old.isin, [])]
            yield from ((old, row) for row in {row.symbol: row for row in same}.values())


def _proof(old: Instrument, new: MasterRow, *, whole_file: bool) -> bool | None:
    """Return whether a row is proven to be an instrument; None if nothing says that it is."""
    if old.instrument_type != new.instrument_type:
        return None
    same_token = old.exchange_token is not None and old.exchange_token == new.exchange_token
    if old.segment_id in DERIVATIVE_SEGMENTS:
        same_terms = (old.expiry, old.strike) == (new.expiry, new.strike)
        return True if same_token and same_terms else None
    isin = new.isin or ""
    if old.segment_id in CASH_SEGMENTS and old.isin and isin:
        if old.isin == isin:
            # Two series of a share, such as RELIANCE and RELIANCE-BE, trade side by side.
            one, other = sorted((old.symbol, new.symbol), key=len)
            is_series = other.startswith(f"{one}-")
            return True if same_token or whole_file or not is_series else None
        if not same_token:
            return None
        return True if old.isin[:_ISSUER] == isin[:_ISSUER] else None
    if not same_token:
        return None
    return bool(old.name) and old.name.casefold() == (new.name or "").casefold()


def _is_only(one: Rename, others: list[Rename]) -> bool:
    return not any(
        other is not one and (other.old.pk == one.old.pk or other.new.symbol == one.new.symbol)
        for other in others
    )


def former_name_add(*, segment: str, name: str, instrument_id: int) -> None:
    """Let an instrument be found by a former symbol or ISIN; call it after `master_bump`."""
    symbol = Instrument.objects.values_list("symbol", flat=True).get(pk=instrument_id)
    if name == symbol:
        FormerName.objects.filter(segment=segment, symbol=name).delete()
        return
    FormerName.objects.update_or_create(
        segment_id=segment, symbol=name, defaults={"instrument_id": instrument_id}
    )


def instrument_rename(*, old: Instrument, segment: str, symbol: str, version: int) -> None:
    """Let an active instrument go on with another of the master, which has its new symbol.

    Args:
        version: the version of the master that this change makes.
    """
    new = Instrument.objects.get(segment=segment, symbol=symbol, active=True)
    Instrument.objects.filter(pk=old.pk).update(active=False, master_version=version)
    # A new symbol that was a former one is no former name any more.
    FormerName.objects.filter(segment=segment, symbol=symbol).delete()
    FormerName.objects.filter(instrument=old).update(instrument=new)
    former_name_add(segment=old.segment_id, name=old.symbol, instrument_id=new.pk)
    if old.isin and old.isin != new.isin:
        former_name_add(segment=old.segment_id, name=old.isin, instrument_id=new.pk)
