import copy
from datetime import date
from decimal import Decimal

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from instruments.snapshot import MasterEntry, MasterSnapshot, SnapshotBuilder
from tests.instruments.factories import (
    entry_of,
    equity,
    nifty50_index,
    nifty_call,
    reliance,
    sensex_index,
    snapshot_of,
)

TABLES = ("symbols", "tokens", "isins", "squeezed", "chains", "odd_tokens")


def tables(snapshot: MasterSnapshot) -> dict[str, object]:
    """What a snapshot holds, without tables that became empty."""
    return {
        name: {key: value for key, value in getattr(snapshot, name).items() if value}
        for name in TABLES
    }


def test_an_entry_is_no_work_for_the_garbage_collector() -> None:
    """Entries are not tracked: the collector never walks over the master."""
    assert MasterEntry.__struct_config__.gc is False
    assert MasterEntry.__struct_config__.frozen is True


def test_an_instrument_is_found_by_kites_token() -> None:
    """The token is the exchange's times 256 plus the segment's number, or whatever the row says."""
    odd = equity("ODD", exchange_token=77, instrument_token=123456789)
    snapshot = snapshot_of(
        reliance(), reliance("BSE_EQ"), nifty_call(), nifty50_index(), sensex_index(), odd
    )

    def symbol(token: int) -> str | None:
        entry = snapshot.by_instrument_token(token)
        return str(entry.key) if entry else None

    assert symbol(738561) == "NSE_EQ:RELIANCE"
    assert symbol(500325 * 256 + 4) == "BSE_EQ:RELIANCE"
    assert symbol(58072 * 256 + 2) == "NFO:NIFTY24APR18000CE"
    assert symbol(256265) == "NSE_INDEX:NIFTY 50"
    assert symbol(264969) == "BSE_INDEX:SENSEX"
    assert symbol(123456789) == "NSE_EQ:ODD"
    # What would be ODD's by the exchange's token is nobody's.
    assert symbol(77 * 256 + 1) is None
    assert symbol(1) is None
    assert symbol(-1) is None


def test_a_reused_token_is_that_of_the_newer_instrument() -> None:
    """Of two rows with one token the later row has it, and the other gets it back when it goes."""
    old = msgspec.structs.replace(entry_of(nifty_call()), id=1, symbol="OLD")
    new = msgspec.structs.replace(entry_of(nifty_call()), id=2, symbol="NEW")
    for pair in ([old, new], [new, old]):
        builder = SnapshotBuilder()
        for entry in pair:
            builder.put(entry)
        snapshot = builder.finish(lambda: None)
        assert snapshot.tokens["NFO"][58072] is new
        builder = SnapshotBuilder(snapshot)
        builder.drop("NFO", "NEW", 2)
        assert builder.finish(lambda: None).tokens["NFO"][58072] is old


def test_an_instrument_is_only_dropped_as_itself() -> None:
    """A row that went does not take the row with it that has its symbol now."""
    current = msgspec.structs.replace(entry_of(reliance()), id=2)
    builder = SnapshotBuilder()
    builder.put(current)
    builder.drop("NSE_EQ", "RELIANCE", 1)
    builder.drop("NSE_EQ", "ELSE", 2)
    assert builder.finish(lambda: None).primary("RELIANCE") is current


ids = st.integers(1, 12)


@st.composite
def entries(draw: st.DrawFn) -> MasterEntry:
    """One of twelve instruments, each with its own symbol and segment, in varying terms."""
    id = draw(ids)
    segment = ("NSE_EQ", "NFO", "NSE_INDEX")[id % 3]
    contract = segment == "NFO"
    return MasterEntry(
        id=id,
        segment=segment,
        symbol=f"S {id}",
        name="",
        instrument_type="CE" if contract else "EQ",
        underlying=draw(st.sampled_from(["A", "B"])) if contract else "",
        expiry=draw(st.sampled_from([date(2026, 8, 25), date(2026, 9, 29)])) if contract else None,
        strike=Decimal(id) if contract else None,
        tick_size=None,
        lot_size=None,
        exchange_token=draw(st.none() | st.integers(1, 8)),
        instrument_token=draw(st.none() | st.just(1000 + id)),
        isin=draw(st.sampled_from(["", "ISIN 1", f"ISIN {id} of its own"])),
    )


steps = st.lists(entries() | ids, max_size=12)


@given(st.lists(steps, max_size=4))
def test_changes_amount_to_a_new_reading(batches: list[list[MasterEntry | int]]) -> None:
    """However the changes come, the snapshot is as if made at once, and none before it changed."""
    snapshot, known = MasterSnapshot(), dict[int, MasterEntry]()
    for batch in batches:
        before = copy.deepcopy(tables(snapshot))
        builder = SnapshotBuilder(snapshot)
        for step in batch:
            if isinstance(step, MasterEntry):
                known[step.id] = step
                builder.put(step)
            elif step in known:
                gone = known.pop(step)
                builder.drop(gone.segment, gone.symbol, gone.id)
        made = builder.finish(lambda: None)
        assert tables(snapshot) == before
        fresh = SnapshotBuilder()
        for entry in sorted(known.values(), key=lambda each: each.id):
            fresh.put(entry)
        expected = tables(fresh.finish(lambda: None))
        found = tables(made)
        # Of two symbols of one length the ISIN may mean either.
        found.pop("isins")
        expected.pop("isins")
        assert found == expected
        for segment, isins in made.isins.items():
            for isin, entry in isins.items():
                holders = [e for e in known.values() if (e.segment, e.isin) == (segment, isin)]
                assert entry in holders
                assert len(entry.symbol) == min(len(e.symbol) for e in holders)
        assert {(e.segment, e.isin) for e in known.values() if e.isin} == {
            (segment, isin) for segment, isins in made.isins.items() for isin in isins
        }
        snapshot = made
    assert len(snapshot) == len(known)
