"""History: every tick and the candles made of them, in a database of their own.

Live prices never come from here; what reads or writes the tick log in Redis is `recorder.py`.
"""
