"""The instrument master of this process, as tests of history need it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from instruments.index import index
from instruments.keys import InstrumentKey
from instruments.loading import names_by_instrument
from instruments.models import Instrument
from instruments.snapshot import MasterSnapshot
from tests.history.logs import HOURS
from tests.instruments.factories import snapshot_of

Import = Callable[..., None]


@contextmanager
def replaced_master() -> Iterator[Import]:
    """Let instruments be known by and by, as other processes' imports make them known.

    Yields what makes them known: it takes all instruments, and segment -> former name -> key.
    """
    before = index._snapshot
    versions = iter(range(10**9, 10**10))

    def use(
        *instruments: Instrument,
        former: Mapping[str, Mapping[str, InstrumentKey]] | None = None,
    ) -> None:
        snapshot: MasterSnapshot = snapshot_of(*instruments)
        snapshot.version = next(versions)
        snapshot.hours = HOURS
        snapshot.former = former or {}
        snapshot.former_names = names_by_instrument(snapshot.former)
        index._snapshot = snapshot

    try:
        yield use
    finally:
        index._snapshot = before
