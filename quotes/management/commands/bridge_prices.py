"""manage.py bridge_prices: bridge publishers' Redis channels to the channel layer."""

import asyncio
import signal
from typing import Any

import uvloop
from channels.layers import get_channel_layer
from django.core.management.base import BaseCommand

from quotes.bridge import Bridge


class Command(BaseCommand):
    help = (
        "Take prices that publishers SET and PUBLISH on stock:SYMBOL, and send each to the "
        "clients that are subscribed. A second bridge stands by and takes over when the first "
        "dies. A line of counters comes every 10 s; SIGTERM writes what is held and ends."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        uvloop.run(self.bridge())

    async def bridge(self) -> None:
        bridge = Bridge(get_channel_layer(), report=self.stdout.write)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, bridge.stop)
        await bridge.run()
