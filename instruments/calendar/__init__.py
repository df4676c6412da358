"""The calendar of the exchanges: holidays, special sessions and hours, each with its source.

`holidays.csv` and `sessions.csv` are the calendar of the release (docs/calendar.md). `files` reads
such files, `loading` brings the tables up to date, `coverage` finds years that are missing.
"""
