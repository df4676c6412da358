"""Garbage collection without long pauses."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from quotes.runtime.garbage import collect_all, set_survivors_aside


class Node:
    """Refers to itself: only the collector frees it."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    callbacks = list(gc.callbacks)
    yield
    gc.callbacks[:] = callbacks
    gc.unfreeze()


def test_what_a_pass_leaves_is_not_looked_at_again() -> None:
    set_survivors_aside()
    kept = [Node() for _ in range(1000)]
    gc.collect()
    before = gc.get_freeze_count()
    assert before > len(kept)
    found = gc.get_objects()
    assert not any(one is kept[0] for one in found)


def test_calling_it_again_changes_nothing() -> None:
    set_survivors_aside()
    callbacks = list(gc.callbacks)
    set_survivors_aside()
    assert gc.callbacks == callbacks


def test_circles_that_were_set_aside_are_freed_by_a_pass_over_all() -> None:
    set_survivors_aside()
    node = Node()
    seen = weakref.ref(node)
    gc.collect()
    del node
    gc.collect()
    assert seen() is not None
    assert collect_all() > 0
    assert seen() is None


def test_what_nothing_refers_to_is_freed_at_once_though_set_aside() -> None:
    set_survivors_aside()
    node = Node()
    seen = weakref.ref(node)
    gc.collect()
    node.itself = None  # type: ignore[assignment]
    del node
    assert seen() is None
