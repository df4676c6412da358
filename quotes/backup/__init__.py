"""Backups of the database, history and the state in Redis: `manage.py backup` and `restore`."""
