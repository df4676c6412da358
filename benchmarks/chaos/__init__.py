"""Chaos: the whole service on one machine, faults put into it, and proof of its promises.

    python -m benchmarks.chaos [FAULT ...]

`deployment.py` starts Redis, bridges, recorders, web servers and a proxy for each hop between
them; `publishers.py` publishes a recorded day into a ledger, `clients.py` receives it. `faults.py`
has the faults, `trial.py` carries one out, and the accounts judge it: `client_account.py` each
client, `history_account.py` the database. docs/reliability.md has the promises and the results.
"""
