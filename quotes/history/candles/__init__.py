"""Candles: bars, trading hours, and building candles of ticks."""
