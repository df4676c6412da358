"""History: every tick and the candles made of them, in a database of its own.

Live prices never come from here. The recorder reads the tick log in Redis.
"""
