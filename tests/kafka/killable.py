"""Consumers of Kafka as processes of their own, forked from one that has all modules in memory.

Each line `start` of the standard input starts one, and its process id is printed. Ends with the
input, and with it the last consumer.
"""

import os
import signal
import sys

import django


def main() -> None:
    django.setup()
    from quotes.kafka.consumer import PriceConsumer
    from quotes.kafka.message_reader import MessageReader
    from quotes.store.clients import sync_client

    pid = 0
    for _ in sys.stdin:
        if pid:
            os.waitpid(pid, 0)
        pid = os.fork()
        if not pid:
            PriceConsumer(
                client=sync_client(),
                read=MessageReader(),
                stopped=lambda: False,
                report=lambda line: None,
            ).run()
        print(pid, flush=True)
    if pid:
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
