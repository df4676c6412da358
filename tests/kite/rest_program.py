"""What a program does with the official Python client; run by the Python that has kiteconnect.

    python rest_program.py ROOT API_KEY ACCESS_TOKEN NAME...

Prints what came as JSON, with the names of types that are not of JSON.
"""

import datetime
import json
import sys
from typing import Any

from kiteconnect import KiteConnect, exceptions  # type: ignore[import-not-found, unused-ignore]


def plain(value: Any) -> Any:
    if isinstance(value, datetime.datetime | datetime.date):
        return f"{type(value).__name__} {value.isoformat()}"
    raise TypeError(type(value).__name__)


def refused(call: Any, *arguments: Any) -> list[Any]:
    """Return the exception of a call that has to be refused."""
    try:
        call(*arguments)
    except exceptions.KiteException as error:
        return [type(error).__name__, error.code, str(error)]
    return []


def main(root: str, api_key: str, token: str, *names: str) -> dict[str, Any]:
    kite = KiteConnect(api_key=api_key, access_token=token, root=root)
    stranger = KiteConnect(api_key=api_key, access_token=token + "x", root=root)
    other = KiteConnect(api_key="other", access_token=token, root=root)
    dump = kite.instruments()
    first = datetime.datetime(2024, 4, 5, 9, 15)
    day = datetime.date(2024, 4, 5)
    return {
        "ltp": kite.ltp(*names),
        "ohlc": kite.ohlc(list(names)),
        "quote": kite.quote(*names),
        "many": len(kite.ltp([names[0], *(f"NFO:NIFTY26AUG{n:05}CE" for n in range(999))])),
        "instruments": dump,
        "of one exchange": kite.instruments("BFO"),
        "minutes": kite.historical_data(738561, first, "2024-04-05 09:20:00", "minute", oi=True),
        "hours": kite.historical_data(738561, str(day), str(day), "60minute"),
        "days": kite.historical_data(738561, day, day, "day"),
        "refused": {
            "token": refused(stranger.ltp, names[0]),
            "api_key": refused(other.ltp, names[0]),
            "too many": refused(kite.quote, ["NSE:INFY"] * 501),
            "exchange": refused(kite.instruments, "NYSE"),
            "range": refused(kite.historical_data, 738561, "2024-01-01", "2024-04-05", "minute"),
            "segment": refused(kite.historical_data, 264969, day, day, "day"),
        },
    }


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:]), default=plain))
