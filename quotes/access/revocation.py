"""How changes of users reach open sockets: one watch for each process, not for each client.

Each second the watch reads the changes that were recorded and reviews the users that they are
about. It also reviews all connected users in turn, some each second, so that it finds a change
that was not recorded (SQL by hand). A process without connected users reads nothing.
"""

import asyncio
import logging
from datetime import date
from typing import Protocol

from quotes.access.account_reader import AccountReader
from quotes.access.accounts import Accounts
from quotes.access.changes import changes_since, last_change
from quotes.access.errors import AccessDown
from quotes.access.selectors import read_accounts
from quotes.runtime.clock import today_in_india

logger = logging.getLogger(__name__)

_INTERVAL_S = 1.0
# Users reviewed in turn each second: three times as many are all reviewed within 4 s.
_ROUND = 500

User = int | str


class Watched(Protocol):
    """An authenticated socket, as far as the watch is concerned. Its methods do not wait."""

    @property
    def user(self) -> User: ...
    @property
    def login(self) -> str: ...
    def review(self, accounts: Accounts) -> None: ...
    def cut_off(self) -> None: ...


class AccessWatch:
    """Reviews the authenticated sockets of this process; belongs to one event loop.

    A recorded change is reviewed within about a second of its commit, any other within a round of
    all connected users. While the database cannot be read, sockets stay open and are reviewed
    later; their tokens still end by themselves. A socket whose review fails is cut off.

    Attributes:
        sockets: user -> its sockets.
    """

    def __init__(self, reader: AccountReader) -> None:
        self.sockets: dict[User, set[Watched]] = {}
        self._reader = reader
        self._round: list[User] = []  # the rest of this round
        self._due: set[User] = set()  # to be reviewed by the next check
        self._last = -1  # number of the newest change that was read; -1 before the first
        self._seen: set[int] = set()
        self._stopped = False
        self._day: date | None = None

    def add(self, socket: Watched) -> None:
        """Watch a socket, under the user that it has now."""
        self.sockets.setdefault(socket.user, set()).add(socket)
        # A change between the read at its connect and this call would be missed.
        self._due.add(socket.user)

    def discard(self, socket: Watched) -> None:
        """Watch a socket no longer; its user must still be the one it was added with."""
        sockets = self.sockets.get(socket.user, set())
        sockets.discard(socket)
        if not sockets:
            self.sockets.pop(socket.user, None)

    def stop(self) -> None:
        """Let `run` return after the check that is under way."""
        self._stopped = True

    async def run(self) -> None:
        """Check every second until stopped or cancelled."""
        while not self._stopped:
            await asyncio.sleep(_INTERVAL_S)
            if not self.sockets:
                self._last = -1
                continue
            try:
                await self.check()
            except AccessDown:
                continue  # the reader has logged it; tokens end by themselves

    async def check(self) -> None:
        """Read changes, and review the sockets of the users that are due; raise AccessDown."""
        self._due |= await self.changed_users()
        self._due.update(self._next_of_round())
        self._due &= self.sockets.keys()
        wanted = list(self._due)
        for at in range(0, len(wanted), _ROUND):
            some = wanted[at : at + _ROUND]
            logins = {one.login for user in some for one in self.sockets.get(user, ())}
            # A user who connects meanwhile is due again; if the read fails, all of them stay due.
            self._due.difference_update(some)
            try:
                accounts = await self._reader.run_in_thread(read_accounts, some, logins)
            except BaseException:
                self._due.update(some)
                raise
            for user in some:
                for socket in list(self.sockets.get(user, ())):
                    try:
                        socket.review(accounts)
                    except Exception:
                        # One that cannot be closed properly keeps nobody else's open.
                        logger.exception("a socket could not be reviewed and is cut off")
                        socket.cut_off()

    async def changed_users(self) -> set[User]:
        """Return the connected users that a new change is about, all if it may be about anybody."""
        today = today_in_india()
        begins, self._day = self._day not in (None, today), today
        if self._last < 0:
            self._last = await self._reader.run_in_thread(last_change)
            # Changes before that were read at connect, or are found in the first round.
            return set(self.sockets)
        rows = await self._reader.run_in_thread(changes_since, self._last)
        news = [row for row in rows if row.id not in self._seen]
        self._seen = {row.id for row in rows}
        self._last = max([self._last, *(row.id for row in rows)])
        if begins or any(row.user_id is None for row in news):
            return set(self.sockets)
        found: set[User] = {row.user_id for row in news if row.user_id is not None}
        if found:
            # Sockets with a token of an outside issuer are listed under the user's name.
            found |= {user for user in self.sockets if isinstance(user, str)}
        return found

    def _next_of_round(self) -> list[User]:
        if not self._round:
            self._round = list(self.sockets)
        some, self._round = self._round[:_ROUND], self._round[_ROUND:]
        return some
