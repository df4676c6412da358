"""Admin of history, to look at only: instruments and their ticks, candles, gaps.

Everything is written by the recorder and by commands; no page counts or scans a table whole.
"""

from quotes.history.admin.candles import CandleAdmin
from quotes.history.admin.gaps import GapAdmin
from quotes.history.admin.series import SeriesAdmin

__all__ = ["CandleAdmin", "GapAdmin", "SeriesAdmin"]
