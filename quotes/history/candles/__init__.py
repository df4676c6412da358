"""Candles: bars, the hours that they cover, and how they come of ticks."""
