"""What a program does with the official Python ticker; run by the Python that has kiteconnect.

    python ticker_program.py ROOT API_KEY ACCESS_TOKEN

Reads commands as JSON lines, such as ["subscribe",[408065]], and prints what happens as JSON lines.
"""

import datetime
import json
import sys
import threading
from typing import Any

from kiteconnect import KiteTicker  # type: ignore[import-not-found, unused-ignore]
from twisted.internet import reactor  # type: ignore[import-not-found, unused-ignore]

printing = threading.Lock()


def plain(value: Any) -> Any:
    if isinstance(value, datetime.datetime):
        return value.timestamp()
    raise TypeError(type(value).__name__)


def show(event: str, **values: Any) -> None:
    with printing:
        print(json.dumps({"event": event, **values}, default=plain), flush=True)


def main(root: str, api_key: str, token: str) -> None:
    ticker = KiteTicker(api_key, token, root=root)
    ticker.on_connect = lambda ws, response: show("connect")
    ticker.on_ticks = lambda ws, ticks: show("ticks", ticks=ticks)
    ticker.on_error = lambda ws, code, reason: show("error", code=code, reason=str(reason))
    ticker.on_close = lambda ws, code, reason: show("close", code=code, reason=str(reason))
    ticker.on_reconnect = lambda ws, attempts: show("reconnect", attempts=attempts)
    ticker.connect(threaded=True)
    for line in sys.stdin:
        command, *arguments = json.loads(line)
        reactor.callFromThread(getattr(ticker, command), *arguments)


if __name__ == "__main__":
    main(*sys.argv[1:])
