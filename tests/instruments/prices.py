"""A source of latest prices that tests fill, named by INSTRUMENTS_LATEST_PRICES."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from instruments.keys import InstrumentKey


@dataclass(frozen=True)
class Price:
    price: Decimal
    timestamp: int


known: dict[InstrumentKey, Price] = {}
asked: list[int] = []


def latest(keys: Iterable[InstrumentKey]) -> Mapping[InstrumentKey, Price]:
    wanted = list(keys)
    asked.append(len(wanted))
    return {key: known[key] for key in wanted if key in known}
