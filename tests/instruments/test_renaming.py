"""A renamed instrument is one instrument, found by its old and its new name."""

from typing import Any

import pytest

from instruments.formats.rows import MasterRow
from instruments.import_report import ImportReport
from instruments.importing import instruments_import
from instruments.index import InstrumentIndex
from instruments.models import FormerName, Instrument
from instruments.services import master_save
from tests.instruments.test_importing import entries

pytestmark = pytest.mark.django_db

ISIN, OTHER_ISIN, SPLIT_ISIN = "INE758T01015", "INE002A01018", "INE758T01023"


def share(symbol: str, token: int | None = 5097, isin: str | None = ISIN, **more: Any) -> MasterRow:
    return MasterRow(
        segment="NSE_EQ",
        symbol=symbol,
        instrument_type="EQ",
        exchange_token=token,
        instrument_token=token and token * 256 + 1,
        isin=isin,
        **more,
    )


def imported(*rows: MasterRow, **flags: bool) -> ImportReport:
    return instruments_import(rows=entries(*rows), **flags)


def key_of(name: str) -> str:
    index = InstrumentIndex()
    index.refresh()
    return str(index.resolve(name))


RENAMES = {
    "token and ISIN": (share("ZOMATO"), share("ETERNAL")),
    "ISIN alone": (share("ZOMATO", None), share("ETERNAL", None)),
    "ISIN, another token": (share("ZOMATO"), share("ETERNAL", 9)),
    "token and issuer": (share("ZOMATO"), share("ETERNAL", isin=SPLIT_ISIN)),
    "token and company": (
        share("ZOMATO", isin=None, name="ZOMATO LTD"),
        share("ETERNAL", isin=None, name="Zomato Ltd"),
    ),
    "another series, same token": (share("ZOMATO"), share("ZOMATO-BE")),
}


@pytest.mark.parametrize(("old", "new"), RENAMES.values(), ids=RENAMES)
def test_renamed_instrument_is_found_by_both_names(old: MasterRow, new: MasterRow) -> None:
    """A row that goes on with a missing instrument is that instrument."""
    imported(old, share("INFY", 1, OTHER_ISIN))
    report = imported(new, share("INFY", 1, OTHER_ISIN))
    assert (report.renamed, report.released) == (1, 0)
    assert report.examples["renamed"] == [f"NSE_EQ:ZOMATO -> NSE_EQ:{new.symbol}"]
    names = ["ZOMATO", "NSE:ZOMATO", "NSE_EQ:ZOMATO", "NSE_EQ:ZOMATO-EQ", new.symbol]
    assert {key_of(name) for name in names} == {f"NSE_EQ:{new.symbol}"}
    assert Instrument.objects.get(symbol="ZOMATO").active is False
    assert "1 renamed" in str(report)


OTHERS = {
    "token of another company": (share("OLD"), share("NEW", isin=OTHER_ISIN)),
    "two shares of one ISIN": (share("OLD"), share("NEW", 9), share("NEWER", 10)),
    "a series that trades beside it": (share("OLD"), share("OLD-BE", 9)),
    "another segment": (
        share("OLD"),
        MasterRow(segment="BSE_EQ", symbol="NEW", instrument_type="EQ", isin=ISIN),
    ),
}


@pytest.mark.parametrize("rows", OTHERS.values(), ids=OTHERS)
def test_other_instruments_stay_others(rows: tuple[MasterRow, ...]) -> None:
    """An old name never becomes that of another instrument."""
    old, *new = rows
    imported(old)
    assert imported(*new).renamed == 0
    assert not FormerName.objects.exists()
    assert key_of("NSE_EQ:OLD") == "NSE_EQ:OLD"


def test_a_token_alone_is_reported_only() -> None:
    """Tokens are reused: what has nothing else in common is for an operator to decide."""
    imported(share("OLD", isin=None))
    report = imported(share("NEW", isin=None))
    assert (report.renamed, report.released) == (0, 1)
    assert report.examples["perhaps renamed"] == ["NSE_EQ:OLD -> NSE_EQ:NEW"]
    assert key_of("OLD") == "NSE_EQ:OLD"


def test_an_instrument_with_a_new_isin_is_found_by_the_former_one() -> None:
    """After a split the share has another ISIN."""
    imported(share("ETERNAL"))
    imported(share("ETERNAL", isin=SPLIT_ISIN))
    assert {key_of(f"NSE_EQ|{isin}") for isin in (ISIN, SPLIT_ISIN)} == {"NSE_EQ:ETERNAL"}


def test_names_follow_several_renames_and_the_way_back() -> None:
    """All former names mean the instrument; its own symbol is none of them."""
    for symbol in ("ONE", "TWO", "THREE", "TWO"):
        imported(share(symbol))
    assert {key_of(name) for name in ("ONE", "TWO", "THREE")} == {"NSE_EQ:TWO"}
    assert set(FormerName.objects.values_list("symbol", flat=True)) == {"ONE", "THREE"}


def test_a_new_instrument_comes_before_a_former_name() -> None:
    """A symbol that is used again means the instrument that has it."""
    imported(share("OLD"))
    imported(share("NEW"))
    imported(share("NEW"), share("OLD", 9, OTHER_ISIN))
    assert key_of("OLD") == "NSE_EQ:OLD"


def test_dry_run_renames_nothing() -> None:
    """The report says what would be renamed."""
    imported(share("OLD"))
    assert imported(share("NEW"), dry_run=True).renamed == 1
    assert not FormerName.objects.exists() and key_of("OLD") == "NSE_EQ:OLD"


def test_contracts_of_a_renamed_share_go_on() -> None:
    """A contract is the same if token, expiry and strike are."""
    from datetime import date
    from decimal import Decimal

    def option(symbol: str, strike: int = 200) -> MasterRow:
        return MasterRow(
            segment="NFO",
            symbol=symbol,
            instrument_type="CE",
            underlying="ETERNAL",
            expiry=date(2026, 12, 29),
            strike=Decimal(strike),
            exchange_token=7,
        )

    imported(option("ZOMATO26DEC200CE"))
    assert imported(option("ETERNAL26DEC200CE")).renamed == 1
    assert key_of("NFO:ZOMATO26DEC200CE") == "NFO:ETERNAL26DEC200CE"
    assert imported(option("ETERNAL26DEC190CE", 190)).renamed == 0


def test_a_symbol_that_is_edited_becomes_a_former_name() -> None:
    """Renaming in admin goes through the same service."""
    imported(share("OLD"))
    row = Instrument.objects.get(symbol="OLD")
    row.symbol = "NEW"
    master_save(row=row)
    assert key_of("OLD") == "NSE_EQ:NEW"
    row.symbol = "OLD"
    master_save(row=row)
    assert (key_of("NEW"), key_of("OLD")) == ("NSE_EQ:OLD", "NSE_EQ:OLD")
