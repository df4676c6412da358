"""What a program does with the package `openalgo`; run by the Python that has it.

    python program.py ROOT KEY [WRONG_KEY]

Prints a word when it waits for the next price, and in the end all that came, as JSON.
"""

import json
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from openalgo import api  # type: ignore[import-not-found, unused-ignore]

RELIANCE = {"exchange": "NSE", "symbol": "RELIANCE"}
OPTION = {"exchange": "NFO", "symbol": "NIFTY18AUG2622050CE"}
INDEX = {"exchange": "NSE_INDEX", "symbol": "NIFTY"}
UNKNOWN = {"exchange": "NSE", "symbol": "NOPE"}
DEADLINE_S = 20.0


def wait(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + DEADLINE_S
    while not (found := condition()):
        assert time.monotonic() < deadline, "nothing came in time"
        time.sleep(0.02)
    return found


def stream(client: Any) -> dict[str, Any]:
    """Stream a symbol in three modes, then without one of them."""
    found: dict[str, Any] = {}
    prices: list[float] = []
    came: list[dict[str, Any]] = []
    process = client._process_message

    def see(text: str) -> None:
        message = json.loads(text)
        if message.get("type") != "market_data":
            came.append(message)
        process(text)

    client._process_message = see
    assert client.connect()
    client.subscribe_ltp([RELIANCE], lambda message: prices.append(message["data"]["ltp"]))
    client.subscribe_quote([RELIANCE, OPTION])
    client.subscribe_depth([RELIANCE])
    wait(lambda: client.get_depth()["depth"] and len(client.get_quotes()["quote"]) == 2)
    found["ltp"] = client.get_ltp("NSE", "RELIANCE")["ltp"]["NSE"]["RELIANCE"]
    found["quotes"] = client.get_quotes()["quote"]
    found["depth"] = client.get_depth()["depth"]["NSE"]["RELIANCE"]
    print("SUBSCRIBED", flush=True)
    first = prices[-1]
    wait(lambda: prices[-1] != first)
    second = prices[-1]
    wait(lambda: depth_ltp(client) == quote_ltp(client) == second)
    client.unsubscribe_ltp([RELIANCE])
    seen = len(prices)
    print("UNSUBSCRIBED", flush=True)
    wait(lambda: depth_ltp(client) != second and quote_ltp(client) != second)
    found["ltp after unsubscribing"] = [client.get_ltp()["ltp"], len(prices) - seen]
    client.ws.send(
        json.dumps({"action": "subscribe", "symbols": [RELIANCE, UNKNOWN, INDEX], "mode": "LTP"})
    )
    wait(lambda: sum(one.get("type") == "subscribe" for one in came) == 5)
    client.ws.send(json.dumps({"action": "ping", "timestamp": 1}))
    wait(lambda: any(one.get("type") == "pong" for one in came))
    client.disconnect()
    found["answers"] = came
    return found


def depth_ltp(client: Any) -> Any:
    return client.get_depth()["depth"]["NSE"]["RELIANCE"]["ltp"]


def quote_ltp(client: Any) -> Any:
    return client.get_quotes()["quote"]["NSE"]["RELIANCE"]["ltp"]


def request(client: Any) -> dict[str, Any]:
    """Call each method of the REST client that this server answers."""
    days = {"start_date": "2024-04-05", "end_date": "2024-04-05"}
    minutes = client.history(**RELIANCE, interval="1m", **days)
    daily = client.history(**RELIANCE, interval="D", **days)
    return {
        "quotes": client.quotes(**RELIANCE),
        "multiquotes": client.multiquotes(symbols=[RELIANCE, UNKNOWN, OPTION]),
        "depth": client.depth(**RELIANCE),
        "minutes": frame(minutes),
        "daily": frame(daily),
        "intervals": client.intervals(),
        "symbol": client.symbol(**OPTION),
        "search": client.search(query="NIFTY 22050", exchange="NFO"),
        "expiry": client.expiry(symbol="M&M", exchange="NFO", instrumenttype="futures"),
        "instruments": len(client.instruments(exchange="NFO")),
        "refused": {
            "symbol": client.quotes(**UNKNOWN),
            "exchange": client.quotes(symbol="RELIANCE", exchange="NYSE"),
            "segment": client.quotes(**INDEX),
            "order": client.funds(),
        },
    }


def frame(found: Any) -> Any:
    """Return a DataFrame in plain values."""
    if isinstance(found, dict):
        return found
    return [[str(when), *map(float, row)] for when, *row in found.itertuples()]


def refused(root: str, socket: str, key: str) -> dict[str, Any]:
    """Return what comes of a wrong key; the client waits for five seconds to be let in."""
    if not key:
        return {}
    wrong = api(api_key=key, host=root, ws_url=socket)
    return {"entered": wrong.connect(), "wrong": wrong.quotes(**RELIANCE)}


def main(root: str, key: str, wrong_key: str = "") -> dict[str, Any]:
    socket = root.replace("http", "ws", 1)
    found: dict[str, Any] = {}
    stranger = threading.Thread(target=lambda: found.update(refused(root, socket, wrong_key)))
    stranger.start()
    client = api(api_key=key, host=root, ws_url=socket, verbose=1)
    streamed = stream(client)
    requests = request(client)
    stranger.join()
    return {**found, "stream": streamed, "requests": requests}


if __name__ == "__main__":
    print("FOUND", json.dumps(main(*sys.argv[1:])))
