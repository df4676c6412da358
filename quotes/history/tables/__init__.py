"""The tables of ticks and candles, in SQLite and PostgreSQL."""
