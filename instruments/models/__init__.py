"""The tables of the instrument master: segments, aliases, instruments, hours and the version.

Who changes a row does it through `instruments/services.py`, which keeps `MasterVersion` current:
every process follows the master by that one number. What a name means is in
`instruments/index.py`.
"""

from instruments.models.former_names import FormerName
from instruments.models.instruments import Instrument
from instruments.models.segments import Exchange, Segment, SegmentAlias
from instruments.models.sessions import CalendarEntry, Holiday, TradingSession
from instruments.models.version import MasterVersion

__all__ = [
    "CalendarEntry",
    "Exchange",
    "FormerName",
    "Holiday",
    "Instrument",
    "MasterVersion",
    "Segment",
    "SegmentAlias",
    "TradingSession",
]
