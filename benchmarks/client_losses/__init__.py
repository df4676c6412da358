"""Client libraries through losses of connection: nothing lost, doubled or reordered.

    python -m benchmarks.client_losses [--client python] [--losses 200]

`stage.py` starts Redis, a bridge, uvicorn and Daphne, and a proxy before them; `losses.py` takes
the connection away in every way; `driver.py` runs the client program and reads its lines; the
accountant of the chaos suite (`benchmarks/chaos/client_account.py`) judges them.

A client program is any program. It gets one argument, JSON:

    {"url": "ws://...", "symbols": ["LOSS1", ...], "silence_s": 2.0, "max_backoff_s": 1.0}

It subscribes to every tick (`"conflate": false`), resumes after each loss, and writes a line of
JSON for each thing that its library gives it, in that order:

    {"tick": {"symbol": "LOSS1", "n": 7, "price": "1.5", "timestamp": ..., "epoch": ..., "seq": 7}}
    {"recovered": {"symbol": "LOSS1", "recovered": true, "ticks": 3, "reason": ""}}
    {"state": "open"}          or "connecting", "waiting", "closed"
    {"error": "..."}           anything that must not happen

`n` is a key of the published tick; `price` is text with the published digits. It ends when its
standard input does. `python_client.py` is the one of the Python library.
"""
