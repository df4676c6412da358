"""Backups of the database, history and the state in Redis: `manage.py backup` and `restore`.

A backup is a folder with a manifest, and a file for each table or kind of row (`folder.py`). Each
of its parts can be restored alone: instruments, accounts, history, prices.
"""
