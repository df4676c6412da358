"""Admin of the master: instruments, their import and former names, segments, sessions, holidays.

What is saved or deleted here goes through `instruments/services.py`, so that every process hears
of it.
"""

from instruments.admin.former_names import FormerNameAdmin
from instruments.admin.instruments import InstrumentAdmin
from instruments.admin.segments import ExchangeAdmin, SegmentAdmin
from instruments.admin.sessions import HolidayAdmin, TradingSessionAdmin

__all__ = [
    "ExchangeAdmin",
    "FormerNameAdmin",
    "HolidayAdmin",
    "InstrumentAdmin",
    "SegmentAdmin",
    "TradingSessionAdmin",
]
