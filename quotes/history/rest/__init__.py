"""Ticks and candles over HTTP."""
