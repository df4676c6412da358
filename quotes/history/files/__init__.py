"""Files of ticks and candles, in and out."""
