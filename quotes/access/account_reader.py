"""Reading users' accounts for an event loop: in a thread of its own, many in one reading.

Whoever asks while a reading is under way is served by the next one, so that a thousand clients that
connect at once cost a few queries and one database connection.
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

logger = logging.getLogger(__name__)

BATCH = 500

T = TypeVar("T")
Question = tuple[int | str, str]  # a user, and a log-in or ""


class AccountReader:
    """Reads accounts in one thread; belongs to one event loop."""

    def __init__(self) -> None:
        self.executor = ThreadPoolExecutor(1, "access")
        self.waiting: list[tuple[Question, asyncio.Future[Accounts]]] = []
        self.task: asyncio.Task[None] | None = None

    async def read(self, user: int | str, login: str = "") -> Accounts:
        """Return accounts that tell of the user and the log-in; raise AccessDown."""
        future: asyncio.Future[Accounts] = asyncio.get_running_loop().create_future()
        self.waiting.append(((user, login), future))
        if self.task is None or self.task.done():
            self.task = asyncio.create_task(self.serve())
        return await future

    async def serve(self) -> None:
        while self.waiting:
            batch, self.waiting = self.waiting[:BATCH], self.waiting[BATCH:]
            questions = [question for question, _ in batch]
            try:
                answer = await self.in_thread(read_all, questions)
            except BaseException as error:
                for _, future in batch:
                    if not future.done():
                        future.set_exception(AccessDown())
                        future.exception()  # who asked may be gone
                if not isinstance(error, AccessDown):
                    raise
                continue
            for _, future in batch:
                if not future.done():
                    future.set_result(answer)

    async def in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a function that reads the database; raise AccessDown when it cannot be read."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self.executor, in_database, function, *arguments)
        except DatabaseError as error:
            logger.warning("users and entitlements cannot be read: %s", error)
            raise AccessDown from error

    async def close(self) -> None:
        """End the thread and its database connection."""
        await asyncio.get_running_loop().run_in_executor(self.executor, connections.close_all)
        self.executor.shutdown()
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait([self.task])


def in_database(function: Callable[..., T], *arguments: Any) -> T:
    close_old_connections()
    return function(*arguments)


def read_all(questions: list[Question]) -> Accounts:
    users = {user for user, _ in questions}
    return read_accounts(users, {login for _, login in questions})
