"""Fixtures of the tests of access."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from django.db import connections

In = Callable[..., Awaitable[Any]]


def run(function: Callable[..., Any], arguments: Any, keywords: Any) -> Any:
    try:
        return function(*arguments, **keywords)
    finally:
        connections.close_all()


@pytest.fixture
def database(transactional_db: None) -> In:
    """Calls a function that uses the database from an async test, in a thread."""

    async def call(function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
        return await asyncio.to_thread(run, function, arguments, keywords)

    return call


@pytest.fixture
def required(settings: Any) -> None:
    """Whoever wants prices has to say who it is."""
    settings.QUOTES_AUTH = "required"
