"""A recorder as a process that a test kills: python -m tests.history.recorder_process.

As manage.py record_prices, with calendars that read no table.
"""

import sys

import django
from redis import Redis


def main() -> None:
    django.setup()
    from django.conf import settings

    from quotes.history.recording.recorder import Recorder
    from quotes.runtime.interrupts import interrupt_on_signals
    from tests.history.logs import FixedCalendars

    with interrupt_on_signals() as interrupt:
        Recorder(
            Redis.from_url(settings.REDIS_URL),
            interrupt=interrupt,
            report=print,
            stream=sys.stdout,
            calendars=FixedCalendars(),
        ).run()


if __name__ == "__main__":
    main()
