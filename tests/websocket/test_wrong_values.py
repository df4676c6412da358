"""Wrong values of messages are named in the words of the documentation."""

import pytest

from quotes.errors import ProtocolError
from quotes.websocket.protocol import Subscribe, parse_request

SUBSCRIBE = '{"action":"subscribe","symbol":"A",'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"action":"subscribe","symbol":5}', "subscribe: symbol must be text, got 5"),
        (
            '{"action":"subscribe","symbols":"A"}',
            "subscribe: symbols must be a list, or '*', got 'A'",
        ),
        ('{"action":"subscribe","symbols":5}', "subscribe: symbols must be "),
        (
            '{"action":"subscribe","symbols":["A",5]}',
            "subscribe: symbols[1] must be text, got 5",
        ),
        (
            SUBSCRIBE + '"mode":"x"}',
            "subscribe: mode must be one of full, ltp, quote, got 'x'",
        ),
        (SUBSCRIBE + '"mode":5}', "subscribe: mode must be "),
        (
            SUBSCRIBE + '"history":{"ticks":0}}',
            "subscribe: history.ticks must be a whole number of at least 1, got 0",
        ),
        (SUBSCRIBE + '"history":5}', "subscribe: history must be an object, got 5"),
        (
            SUBSCRIBE + '"history":{"candles":{"interval":"1m"}}}',
            "subscribe: history.candles needs count",
        ),
        (
            SUBSCRIBE + '"conflate":"no"}',
            "subscribe: conflate must be true or false, got 'no'",
        ),
        (
            '{"action":"configure","interval_ms":1.5}',
            "configure: interval_ms must be a whole number, got 1.5",
        ),
        (
            '{"action":"configure","interval_ms":90000}',
            "configure: interval_ms must be a whole number of at most 60000, got 90000",
        ),
        ('{"action":"authenticate"}', "authenticate: it needs token"),
        (
            '{"action":"subscribe","underlying":"NIFTY","expiry":"soon"}',
            "subscribe: expiry must be a day as 2026-08-27, got 'soon'",
        ),
    ],
)
def test_what_is_allowed_is_named(text: str, message: str) -> None:
    with pytest.raises(ProtocolError) as found:
        parse_request(text)
    assert str(found.value).startswith(message)
    assert "`" not in str(found.value) and "$" not in str(found.value)


@pytest.mark.parametrize(
    ("since", "message"),
    [
        ('{"epoch":"x","seq":1}', "since: epoch must be a whole number, got 'x'"),
        ('{"epoch":1}', "since: it needs seq"),
    ],
)
def test_a_position_is_checked_in_the_same_words(since: str, message: str) -> None:
    request = parse_request(f'{SUBSCRIBE}"since":{since}}}')
    assert isinstance(request, Subscribe)
    with pytest.raises(ProtocolError) as found:
        request.since_of("A")
    assert str(found.value).startswith(message)
