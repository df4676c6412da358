"""Which ticks a bridge takes, for all ways in that check them before."""

import pytest

from quotes.errors import BadTick
from quotes.kafka.fields import TopicMessage
from quotes.kafka.message_reader import MessageReader
from quotes.publish.publishing import listing_of
from quotes.runtime.clock import now_ms
from quotes.store.listings import AcceptedNames
from tests.ticks import message, tick


@pytest.mark.parametrize("price", ["0", "-1", "0.0"])
def test_price_of_zero_is_refused_for_a_name_that_was_accepted(price: str) -> None:
    """A name is checked once, a price from 0 down each time."""
    names = AcceptedNames()
    name = "NSE_EQ:TCS"
    names.check(name, tick("TCS", "5", segment="NSE_EQ"))
    names.check(name, None)
    untraded = tick("TCS", price, segment="NSE_EQ")
    for check in (lambda: names.check(name, untraded), lambda: listing_of(untraded)):
        with pytest.raises(BadTick, match="is no trade"):
            check()
    names.check("AAPL", tick("AAPL", price))


@pytest.mark.parametrize("price", ["0", "-1", "0.0"])
def test_messages_of_a_topic_at_zero_are_refused(price: str) -> None:
    """Also when they have the usual layout and their name is accepted."""
    reader = MessageReader()
    share = message("360ONE", "5").encode()
    reader(TopicMessage(share), now_ms())
    assert reader.quick(share, now_ms()) is not None
    untraded = message("360ONE", price).encode()
    assert reader.quick(untraded, now_ms()) is None
    assert reader(TopicMessage(untraded), now_ms()).name == "360ONE"
    named = message("360ONE", price, segment="NSE_EQ").encode()
    with pytest.raises(BadTick, match="is no trade"):
        reader(TopicMessage(named), now_ms())
