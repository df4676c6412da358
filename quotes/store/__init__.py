"""What Redis holds: names of keys, clients, latest prices, the tick log, the inbox and leases."""

from typing import Any


def __getattr__(name: str) -> Any:
    """Find `latest_prices` by its dotted name of release 0.1.0, which settings may hold."""
    if name == "latest_prices":
        from quotes.store.latest import latest_prices

        return latest_prices
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
