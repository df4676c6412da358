"""manage.py bridge_prices: bridge publishers' Redis channels to the channel layer."""

import asyncio
import signal
from argparse import ArgumentTypeError
from typing import Any

import uvloop
from channels.layers import get_channel_layer
from django.core.management.base import CommandError, CommandParser

from instruments.conf import conf as instruments_conf
from instruments.index import index
from quotes.bridge.bridge import Bridge
from quotes.metrics.collectors.bridge import BridgeCollector
from quotes.metrics.exporter import exporting
from quotes.runtime.command_help import CommandWithExamples
from quotes.runtime.identity import identity
from quotes.runtime.log_lines import counters_reporter
from quotes.runtime.loop_lag import loop_lag
from quotes.store.server_check import WrongRedis, refuse_wrong_redis

MAX_SHARDS = 64


def shard(text: str) -> tuple[int, int]:
    """Return the two numbers of I/N; raise ArgumentTypeError."""
    number, slash, count = text.partition("/")
    if not (slash and number.isdecimal() and count.isdecimal()):
        raise ArgumentTypeError(f"must be I/N, such as 1/4, got {text!r}")
    if not 1 <= int(number) <= int(count) <= MAX_SHARDS:
        raise ArgumentTypeError(f"must be from 1/N to N/N, N at most {MAX_SHARDS}, got {text!r}")
    return int(number), int(count)


class Command(CommandWithExamples):
    help = (
        "Send each price that publishers SET and PUBLISH on stock:SYMBOL to the clients that "
        "subscribe to it. A second bridge waits as a standby and takes over when the first dies. "
        "Prints a line of counters every 10 s; on SIGTERM, writes pending ticks and exits."
    )
    examples = (
        ("", "the whole market"),
        ("--shard 1/4", "the first of four parts; run one bridge for each part"),
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--shard",
            type=shard,
            default=(1, 1),
            metavar="I/N",
            help="take only the I-th of N parts of the market; default: 1/1, the whole market",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            refuse_wrong_redis()
        except WrongRedis as error:
            raise CommandError(str(error)) from error
        if instruments_conf.follow_master:
            index.refresh()  # so that no name changes its instrument a moment later
        uvloop.run(self.bridge(options["shard"]))

    async def bridge(self, shard: tuple[int, int]) -> None:
        bridge = Bridge(
            get_channel_layer(), report=counters_reporter(self.stdout.write), shard=shard
        )
        identity.shard = "{}/{}".format(*shard)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, bridge.stop)
        if instruments_conf.follow_master:
            index.follow(lambda: loop.call_soon_threadsafe(bridge.market.rebind_names))
        loop_lag.watch(loop)
        with exporting(identity, collect=[BridgeCollector(bridge)]):
            await bridge.run()
