from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instruments import vendors
from instruments.vendors import DatedContract


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("NSE:RELIANCE-EQ", ("NSE", "RELIANCE-EQ")),
        ("NSE_EQ|INE002A01018", ("NSE_EQ", "INE002A01018")),
        ("NSE_INDEX|Nifty 50", ("NSE_INDEX", "Nifty 50")),
        ("A:B|C", ("A", "B|C")),
        ("RELIANCE", ("", "RELIANCE")),
        (":X", ("", "X")),
        ("", ("", "")),
    ],
)
def test_name_splits_at_the_first_separator(name: str, parts: tuple[str, str]) -> None:
    """Kite and Fyers put a colon after the segment, Upstox a bar."""
    assert vendors.split(name) == parts


@pytest.mark.parametrize(
    ("written", "symbol"),
    [
        ("RELIANCE-EQ", "RELIANCE"),
        ("M&M-EQ", "M&M"),
        ("BAJAJ-AUTO-EQ", "BAJAJ-AUTO"),
        ("BAJAJ-AUTO", "BAJAJ-AUTO"),
        ("ADL-BE", "ADL-BE"),
        ("RELIANCE-EQ-EQ", "RELIANCE"),
        ("-EQ", "-EQ"),
    ],
)
def test_series_eq_is_left_out(written: str, symbol: str) -> None:
    """The exchange's symbol names the series of a share only where it is another than EQ."""
    assert vendors.cash_symbol(written) == symbol


@pytest.mark.parametrize(
    ("written", "symbol"),
    [("TCS-A", "TCS"), ("ABC-XT", "ABC"), ("BAJAJ-AUTO", "BAJAJ-AUTO"), ("-A", "-A"), ("A", "A")],
)
def test_group_of_bse_is_left_out(written: str, symbol: str) -> None:
    """What follows the last dash is left out if it is one of BSE's groups."""
    assert vendors.bse_symbol(written) == symbol


@pytest.mark.parametrize(
    ("written", "symbol"),
    [
        ("NIFTY50-INDEX", "NIFTY 50"),
        ("NIFTYBANK-INDEX", "NIFTY BANK"),
        ("Nifty Bank", "NIFTY BANK"),
        ("FINNIFTY-INDEX", "NIFTY FIN SERVICE"),
        ("MIDCPNIFTY-INDEX", "NIFTY MID SELECT"),
        ("India VIX", "INDIA VIX"),
        ("SENSEX-INDEX", "SENSEX"),
        ("NIFTYREALTY-INDEX", "NIFTYREALTY"),
        ("NIFTY REALTY", "NIFTY REALTY"),
        ("-INDEX", "-INDEX"),
    ],
)
def test_index_names_agree(written: str, symbol: str) -> None:
    """The great indices are known by each vendor's name; others keep theirs."""
    assert vendors.index_symbol(written) == symbol


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("INE002A01018", True),
        ("US0378331005", True),
        ("INE002A01019", False),
        ("INE002A0101", False),
        ("ine002a01018", False),
        ("INE002A0101८", False),
        ("NIFTY24APR18", False),
    ],
)
def test_isin_is_told_by_its_check_digit(text: str, right: bool) -> None:
    """Twelve characters are an ISIN only if the last one is right."""
    assert vendors.is_isin(text) is right


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("2885", 2885),
        ("0", 0),
        ("", None),
        ("-1", None),
        ("2885.0", None),
        ("२८८५", None),
        ("²", None),
        ("9" * 13, None),
        ("RELIANCE", None),
    ],
)
def test_token_is_a_plain_number(text: str, number: int | None) -> None:
    """Only digits of ASCII, and not more than an exchange has, are a token."""
    assert vendors.token(text) == number


@pytest.mark.parametrize(
    ("text", "contract"),
    [
        (
            "NIFTY11APR2418000CE",
            DatedContract("NIFTY", date(2024, 4, 11), "CE", Decimal(18000)),
        ),
        (
            "360ONE25APR241100.5PE",
            DatedContract("360ONE", date(2024, 4, 25), "PE", Decimal("1100.5")),
        ),
        ("RELIANCE25APR24FUT", DatedContract("RELIANCE", date(2024, 4, 25), "FUT", None)),
        # What the exchange writes for 19400 in October 2024 is also this.
        ("NIFTY24OCT19400CE", DatedContract("NIFTY", date(2019, 10, 24), "CE", Decimal(400))),
        ("NIFTY31APR2418000CE", None),
        ("NIFTY24APR18000CE", None),
        ("24APR24FUT", None),
        ("RELIANCE", None),
    ],
)
def test_dated_form_of_angel_is_read(text: str, contract: DatedContract | None) -> None:
    """Angel writes the whole day of the expiry."""
    assert vendors.dated_contract(text) == contract


@given(st.text(max_size=70))
def test_no_text_breaks_the_readers(text: str) -> None:
    """Whatever comes from a client, the readers of names answer."""
    code, rest = vendors.split(text)
    assert text in (rest, f"{code}:{rest}", f"{code}|{rest}")
    vendors.cash_symbol(text)
    vendors.bse_symbol(text)
    vendors.index_symbol(text)
    vendors.is_isin(text)
    vendors.token(text)
    vendors.dated_contract(text)
