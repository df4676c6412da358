"""Reading ticks and candles."""
