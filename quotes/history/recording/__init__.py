"""From the tick log to tables, and to subscribers of candles."""
