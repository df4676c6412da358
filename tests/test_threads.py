"""Requests under ASGI do not walk between threads."""

from typing import Any

import pytest
from asgiref.sync import SyncToAsync
from django.test import AsyncClient


async def test_a_request_crosses_to_its_thread_a_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Middleware runs in one go: the rest are signals, the view and closing the answer."""
    crossings = 0
    call = SyncToAsync.__call__

    async def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal crossings
        crossings += 1
        return await call(self, *args, **kwargs)

    monkeypatch.setattr(SyncToAsync, "__call__", counted)
    response = await AsyncClient().get("/healthz")
    assert response.status_code == 200
    assert 1 <= crossings <= 5
