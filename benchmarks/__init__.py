"""Benchmarks of the server against its peers: `python -m benchmarks`, see docs/performance.md.

The server and its peers run as processes of their own and are spoken to by their public contract
only; nothing here imports the server's code.
"""
