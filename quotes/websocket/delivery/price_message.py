"""The message of one price, as it travels within a web process: one object for all clients."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

# What a message is of: a tick that a bridge has numbered, a price that no bridge has numbered yet,
# a tick that is sent some minutes late, or a candle.
TICK: Final = 0
PROVISIONAL: Final = 1
DELAYED: Final = 2
CANDLE: Final = 3


class Products(dict[str, Any]):
    """What was made of a message for clients: shape -> payload or frame."""


class PriceMessage(msgspec.Struct, array_like=True, gc=False):
    """One price. A lane message is a list of those whose first seven attributes it has.

    The garbage collector does not look at it: it refers to nothing that could refer to it.

    Attributes:
        key: its instrument, such as NSE_EQ:RELIANCE; that of the group's rows.
        epoch: Unix milliseconds at which the stream's numbering began.
        seq: its number.
        timestamp: Unix milliseconds.
        frame: the price frame with all of its fields, JSON.
        shown: False for a tick that came too late to be shown.
        received: when the bridge took it, Unix milliseconds.
        products: made on first demand; UNSET before.
        kind: TICK, PROVISIONAL, DELAYED or CANDLE.
    """

    key: str
    epoch: int
    seq: int
    timestamp: int
    frame: bytes
    shown: bool = True
    received: int = 0
    products: Products | UnsetType = UNSET  # no element of a row can be one
    kind: int = TICK

    def product(self, shape: str) -> Any:
        """Return what was made of the message in a shape; None if that is not made yet."""
        return self.products.get(shape) if self.products else None

    def keep(self, shape: str, product: Any) -> None:
        """Keep what was made of the message in a shape."""
        if self.products is UNSET:
            self.products = Products()
        self.products[shape] = product


def price_message(message: Mapping[str, Any]) -> PriceMessage:
    """Return the message of a tick that came as a dict, by a layer that has no rows.

    Raises:
        KeyError, TypeError, AttributeError: it is not one.
    """
    return PriceMessage(
        message["key"],
        message["epoch"],
        message["seq"],
        message["timestamp"],
        message["frame"].encode(),
    )
