"""Reading accounts for an event loop: in a thread of its own, many in one read.

Requests that come while a read is under way are served together by the next one, so that a
thousand clients that connect at once cost a few queries and one database connection.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from django.db import DatabaseError, close_old_connections, connections

from quotes.access.accounts import Accounts
from quotes.access.errors import AccessDown
from quotes.access.selectors import read_accounts
from quotes.runtime.background import BackgroundTasks

logger = logging.getLogger(__name__)

_BATCH = 500

T = TypeVar("T")
_Lookup = tuple[int | str, str]  # a user, and a log-in or ""


class AccountReader:
    """Reads accounts in one thread; belongs to one event loop.

    A caller of `read` may be cancelled; the read goes on for the others.
    """

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, "access")
        self._waiting: list[tuple[_Lookup, asyncio.Future[Accounts]]] = []
        self._tasks = BackgroundTasks(logger)
        self._task: asyncio.Task[None] | None = None

    async def read(self, user: int | str, login: str = "") -> Accounts:
        """Return accounts with that of the user, and whether the log-in has ended.

        Raises:
            AccessDown: the database cannot be read.
        """
        future: asyncio.Future[Accounts] = asyncio.get_running_loop().create_future()
        self._waiting.append(((user, login), future))
        if self._task is None or self._task.done():
            self._task = self._tasks.complete("reading accounts", self._serve)
        return await future

    async def _serve(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:_BATCH], self._waiting[_BATCH:]
            try:
                accounts = await self.run_in_thread(_read_all, [lookup for lookup, _ in batch])
            except BaseException as error:
                for _, future in batch:
                    if not future.done():
                        future.set_exception(AccessDown())
                        future.exception()  # nobody may be left to retrieve it
                if not isinstance(error, AccessDown):
                    raise
                continue
            for _, future in batch:
                if not future.done():
                    future.set_result(accounts)

    async def run_in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a function that reads the database; raise AccessDown when it cannot be read."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._executor, in_database, function, *arguments)
        except DatabaseError as error:
            logger.warning("users and entitlements cannot be read: %s", error)
            raise AccessDown from error

    async def close(self) -> None:
        """End the thread and its database connection."""
        await self._tasks.close()
        await asyncio.get_running_loop().run_in_executor(self._executor, connections.close_all)
        self._executor.shutdown()


def in_database(function: Callable[..., T], *arguments: Any) -> T:
    """Call a function with a database connection that works."""
    close_old_connections()
    return function(*arguments)


def _read_all(lookups: list[_Lookup]) -> Accounts:
    return read_accounts({user for user, _ in lookups}, {login for _, login in lookups})
