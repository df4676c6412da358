"""The master of the simulated market: only where the master has no other instruments."""

from datetime import date

import pytest

from instruments.index import InstrumentIndex
from instruments.models import Instrument, MasterVersion
from quotes.publish.simulation.instruments import simulated_instruments
from quotes.publish.simulation.master import simulated_master_fill
from tests.instruments.factories import reliance

pytestmark = pytest.mark.django_db

DAY = date(2026, 11, 27)


def test_empty_master_gets_what_is_simulated() -> None:
    """Shares, indices, futures and two option chains are there, with expiries ahead of the day."""
    count = simulated_master_fill(today=DAY)
    assert count == Instrument.objects.count() == len(list(simulated_instruments(DAY)))
    assert all("(simulated)" in name for name in Instrument.objects.values_list("name", flat=True))
    index = InstrumentIndex()
    index.refresh()
    for one in simulated_instruments(DAY):
        assert index.resolve(one.symbol, strict=True).symbol == one.symbol
        entry = index.describe(index.resolve(one.symbol))
        assert entry is not None and entry.instrument_token is not None
        assert entry.instrument_token < 2**31
        assert index.by_token(entry.instrument_token) == entry.key
    assert index.by_token(738561) == index.resolve("RELIANCE")
    assert str(index.resolve("NIFTY 50")) == "NSE_INDEX:NIFTY 50"
    assert index.futures("NFO", "RELIANCE", today=DAY)
    for root, spot in (("NIFTY", "NIFTY 50"), ("BANKNIFTY", "NIFTY BANK")):
        assert len(index.expiries("NFO", root)) == 2
        chain = index.find_chain(root, today=DAY)
        assert chain is not None and len(chain.strikes) == 11 and chain.expiry > DAY
        assert str(chain.sources[0]) == f"NSE_INDEX:{spot}"


def test_filling_again_changes_nothing_and_rolls_contracts() -> None:
    """A second filling leaves the version; one of a later month replaces expired contracts."""
    simulated_master_fill(today=DAY)
    version = MasterVersion.objects.get().version
    simulated_master_fill(today=DAY)
    assert MasterVersion.objects.get().version == version
    simulated_master_fill(today=date(2027, 3, 1))
    active = Instrument.objects.filter(active=True)
    assert not active.filter(expiry__lt=date(2027, 3, 1)).exists()
    assert active.count() == len(list(simulated_instruments(date(2027, 3, 1))))


@pytest.mark.parametrize("active", [True, False])
def test_master_of_an_operator_is_left_alone(active: bool) -> None:
    """With one instrument of another origin, active or not, nothing is written."""
    simulated_master_fill(today=DAY)
    Instrument.objects.filter(symbol="RELIANCE", segment="NSE_EQ").delete()
    reliance(active=active).save()
    before = Instrument.objects.count(), MasterVersion.objects.get().version
    assert simulated_master_fill(today=date(2027, 3, 1)) is None
    assert (Instrument.objects.count(), MasterVersion.objects.get().version) == before
