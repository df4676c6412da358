"""Whether anybody needs prices at once, or all web processes can do with them a little later.

A web process whose clients all get their prices at intervals lets bridges see that
(`QuotesChannelLayer.set_patient`). While there are no others a bridge gathers for longer, which
spares itself, Redis and the web processes most of their wake-ups.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import hiredis

from quotes.layer.any_layer import Layer
from quotes.runtime.redis_link import RedisLink


async def all_are_patient(link: RedisLink, layer: Layer) -> bool:
    """Return whether every process that listens to a lane is patient; True if none listens.

    False if the account of the server may not ask that.

    Raises:
        RedisDown: Redis does not answer.
    """
    if not layer.is_direct or len(layer.hosts) > 1:
        return False  # who listens is not known, or not known here
    lanes, patient = layer.lane_channels(), layer.patience_channels()
    try:
        reply: Any = await link.command("PUBSUB", "NUMSUB", *lanes, *patient)
    except hiredis.ReplyError:
        return False
    found = reply if isinstance(reply, Mapping) else dict(list(pairwise(reply))[::2])
    counts = {name.decode(): int(count) for name, count in found.items()}
    return all(
        counts.get(lane, 0) <= counts.get(channel, 0)
        for lane, channel in zip(lanes, patient, strict=True)
    )
