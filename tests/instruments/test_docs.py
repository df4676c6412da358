import re

import pytest
from django.conf import settings

from instruments import market
from instruments.keys import InstrumentKey
from instruments.resolving import resolve
from quotes.store.group_names import price_group
from tests.instruments.factories import (
    m_and_m,
    nifty50_index,
    nifty_call,
    reliance,
    snapshot_of,
)

TEXT = (settings.BASE_DIR / "docs" / "instruments.md").read_text()


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the table under a head of a table."""
    lines = TEXT[TEXT.index(heading) :].splitlines()[2:]
    found = []
    for line in lines:
        if not line.startswith("|"):
            break
        cells = re.split(r"(?<!\\)\|", line)[1:-1]
        found.append([cell.strip().strip("`").replace("\\|", "|") for cell in cells])
    return found


@pytest.mark.parametrize(("name", "segment", "key"), rows("| name | segment | key |"))
def test_names_mean_what_the_documentation_says(name: str, segment: str, key: str) -> None:
    """Each row of the table of names is what a client gets."""
    snapshot = snapshot_of(reliance(), reliance("BSE_EQ"), m_and_m(), nifty50_index(), nifty_call())
    assert str(resolve(snapshot, name, segment=segment)) == key


def test_segments_are_listed_in_their_order() -> None:
    """The table of segments is the precedence."""
    assert tuple(row[0] for row in rows("| segment | exchange |")) == market.PRECEDENCE


def test_codes_are_those_that_are_known() -> None:
    """Each code in the table of codes is one."""
    known = market.routes(market.aliases(), market.PRECEDENCE)
    for codes, *_ in rows("| code | means |"):
        for code in codes.replace("`", "").split(", "):
            assert code in known


def test_group_of_the_example_is_right() -> None:
    """The group name in the text is that of the key in the text."""
    assert "`NSE_EQ.-M.26M`" in TEXT
    assert price_group(InstrumentKey.parse("NSE_EQ:M&M")) == "NSE_EQ.-M.26M"
