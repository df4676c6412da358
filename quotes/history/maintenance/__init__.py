"""Rebuilding candles, retention, and reports of gaps."""
