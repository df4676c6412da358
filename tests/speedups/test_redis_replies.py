"""What Redis sends is read in C as by hiredis, wherever a read of the socket ends."""

import sys
from collections.abc import Sequence
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import hiredis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quotes.runtime import redis_link
from quotes.runtime.redis_link import RedisLink
from quotes.runtime.speedups import definitions
from tests.speedups.built import needs_package, package

pytestmark = needs_package


def bulk(text: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(text), text)


def published(channel: bytes, payload: bytes, pattern: bytes | None = b"stock:*") -> bytes:
    if pattern is None:
        return b">3\r\n" + bulk(b"message") + bulk(channel) + bulk(payload)
    return b">4\r\n" + bulk(b"pmessage") + bulk(pattern) + bulk(channel) + bulk(payload)


texts = st.binary(max_size=12) | st.sampled_from([b"\r\n", b"$3\r\nabc\r\n", b">"])
messages = st.builds(published, texts, texts, st.none() | texts)
plain = st.one_of(
    texts.map(bulk),
    st.integers(-(2**40), 2**40).map(lambda number: b":%d\r\n" % number),
    st.sampled_from(
        b"+PONG -ERR:no _ #t ,1.5 $-1 *-1 (123456789012345678901 =7\r\ntxt:abc *0 %0 ~0".split(b" ")
    ).map(lambda text: text + b"\r\n"),
)
replies = st.recursive(
    plain,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda some: b"*%d\r\n%b" % (len(some), b"".join(some))),
        st.lists(st.tuples(texts.map(bulk), inner), max_size=3).map(
            lambda pairs: b"%%%d\r\n%b" % (len(pairs), b"".join(k + v for k, v in pairs))
        ),
    ),
    max_leaves=5,
)
confirmations = st.builds(
    lambda kind, name, count: b">3\r\n" + bulk(kind) + bulk(name) + b":%d\r\n" % count,
    st.sampled_from([b"subscribe", b"psubscribe", b"unsubscribe"]),
    texts,
    st.integers(0, 3),
)
items = st.lists(messages | messages | replies | confirmations, max_size=8)


class Future:
    """Holds a reply as its repr, since errors are not equal to each other."""

    value = ""

    def done(self) -> bool:
        return False

    def set_result(self, value: Any) -> None:
        self.value = repr(value)

    def set_exception(self, error: Exception) -> None:
        self.value = repr(error)


class Link(RedisLink):
    """A link without a socket that notes what it reads."""

    def __init__(self) -> None:
        self.messages: list[tuple[bytes, bytes]] = []
        super().__init__(on_messages=self.messages.extend)
        self.loop: Any = SimpleNamespace(time=lambda: 0.0)
        self.futures = [Future() for _ in range(20)]
        self._replies.extend(self.futures)  # type: ignore[arg-type]
        self.is_aborted = False

    def abort(self) -> None:
        self.is_aborted = True


def read(split: Any, parts: Sequence[bytes]) -> Link:
    """Return a link that has read the parts, one after the other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(redis_link, "split_messages", split)
        link = Link()
        for part in parts:
            if not link.is_aborted:
                link.data_received(part)
    return link


def both(parts: Sequence[bytes]) -> tuple[Link, Link]:
    return read(definitions["split_messages"], parts), read(package.split_messages, parts)


def cut(text: bytes, at: list[int]) -> list[bytes]:
    ends = sorted({end % (len(text) + 1) for end in at} | {0, len(text)})
    return [text[start:end] for start, end in pairwise(ends)]


cuts = st.lists(st.integers(0, 10**6), max_size=6)


@settings(max_examples=500)
@given(items, cuts)
def test_any_replies_are_read_alike(parts: list[bytes], at: list[int]) -> None:
    """The same messages and replies in the same order, wherever a read ends."""
    expected, found = both(cut(b"".join(parts), at))
    assert found.messages == expected.messages
    assert [one.value for one in found.futures] == [one.value for one in expected.futures]
    assert not found.is_aborted and not expected.is_aborted


@settings(max_examples=500)
@given(items, cuts, st.lists(st.tuples(st.integers(0, 10**6), st.binary(max_size=3)), max_size=3))
def test_any_bytes_are_read(
    parts: list[bytes], at: list[int], changes: list[tuple[int, bytes]]
) -> None:
    """What is no reply ends the link; until then nothing is missing and nothing differs."""
    text = b"".join(parts)
    for where, put_in in changes:
        where %= len(text) + 1
        text = text[:where] + put_in + text[where + len(put_in) :]
    expected, found = both(cut(text, at))
    assert found.messages[: len(expected.messages)] == expected.messages
    if not expected.is_aborted:
        assert [one.value for one in found.futures] == [one.value for one in expected.futures]


@pytest.mark.parametrize("size", [10, 2**20, 2**20 + 1, 3 * 2**20])
def test_a_large_message_comes_in_parts(size: int) -> None:
    """From 1 MiB on hiredis puts the parts together, which copies none of them twice."""
    text = published(b"a", b"1") + published(b"b", b"x" * size) + published(b"c", b"2")
    parts = [text[at : at + 65536] for at in range(0, len(text), 65536)]
    link = read(package.split_messages, parts)
    assert [(channel, len(payload)) for channel, payload in link.messages] == [
        (b"a", 1),
        (b"b", size),
        (b"c", 1),
    ]


def test_links_without_messages_leave_all_to_hiredis() -> None:
    """Their replies may be large, and would be looked at again with each read."""
    assert RedisLink()._rest is None


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", ([], b"", b"")),
        (published(b"a", b"1"), ([(b"a", b"1")], b"", b"")),
        (published(b"", b"", None), ([(b"", b"")], b"", b"")),
        (published(b"a", b"1")[:-1], ([], b"", published(b"a", b"1")[:-1])),
        (b"+OK\r\n" + published(b"a", b"1"), ([(b"a", b"1")], b"+OK\r\n", b"")),
        (published(b"a", b"1") + b"+OK", ([(b"a", b"1")], b"", b"+OK")),
        (b"@odd", ([], b"@odd", None)),
        (b">0\r\n", ([], b">0\r\n", None)),
        (b">4\r\n$07\r\n", ([], b">4\r\n$07\r\n", None)),
        (b"*9999999999\r\n", ([], b"*9999999999\r\n", None)),
        (b"*999999999\r\n" * 9, ([], b"", b"*999999999\r\n" * 9)),
        (b">3\r\n$7\r\nmessage\r\n$-1\r\n", ([], b">3\r\n$7\r\nmessage\r\n$-1\r\n", None)),
    ],
)
def test_what_is_left_to_hiredis(data: bytes, expected: Any) -> None:
    """Whole replies, and from what is odd on all of it."""
    assert package.split_messages(data) == expected
    with pytest.raises(TypeError):
        package.split_messages(bytearray(data))


def test_nothing_is_left_behind() -> None:
    """After many reads no more memory is in use."""
    data = (published(b"a", b"1" * 50) + b"+OK\r\n:1\r\n") * 100 + b"$5\r\n"
    for odd in (b"", b"@"):
        package.split_messages(data + odd)
        before, references = sys.getallocatedblocks(), sys.getrefcount(data)
        for _ in range(500):
            package.split_messages(data + odd)
        assert abs(sys.getallocatedblocks() - before) < 50
        assert sys.getrefcount(data) == references


def test_a_lack_of_memory_is_an_error_at_every_step() -> None:
    """Whichever allocation fails: a MemoryError, or the whole result."""
    testcapi = pytest.importorskip("_testcapi", reason="this Python has no module _testcapi")
    data = (b"+OK\r\n" + published(b"channel", b"payload" * 9)) * 2 + b"$5\r\n"
    expected, failed = package.split_messages(data), 0
    for step in range(30):
        testcapi.set_nomemory(step)
        try:
            found = package.split_messages(data)
        except MemoryError:
            failed += 1
            found = expected
        finally:
            testcapi.remove_mem_hooks()
        assert found == expected
    assert failed > 5


def test_errors_are_hiredis_own() -> None:
    """A link raises what hiredis raises for it."""
    (future,) = both([b"-ERR wrong\r\n"])[1].futures[:1]
    assert future.value == repr(hiredis.ReplyError("ERR wrong"))
