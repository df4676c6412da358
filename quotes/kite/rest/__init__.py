"""Kite's REST shapes for `KiteConnect(root=...)`: quotes, instruments and candles, read only."""
