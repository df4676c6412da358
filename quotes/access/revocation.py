"""How what changes about users reaches open sockets: one watch per process, not per client.

Each second the watch reads the changes that were recorded, and looks again at the users that they
are about; besides, it goes round all users who are connected here, some each second, so that a
change that nobody recorded (SQL by hand) is found too. A process without users reads nothing.
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

INTERVAL_S = 1.0
# So many users are looked at again each second: up to three times as many within 4 s.
ROUND = 500

User = int | str


class Watched(Protocol):
    """A socket of a user, as far as the watch is concerned."""

    @property
    def user(self) -> User: ...
    @property
    def login(self) -> str: ...
    def review(self, accounts: Accounts) -> None: ...
    def cut_off(self) -> None: ...


class AccessWatch:
    """Looks after the sockets of this process whose users are known."""

    def __init__(self, reader: AccountReader) -> None:
        self.reader = reader
        self.sockets: dict[User, set[Watched]] = {}
        self.round: list[User] = []  # whom to look at next
        self.due: set[User] = set()  # whom to look at now
        self.last = -1  # number of the newest change that was read; -1 before the first
        self.seen: set[int] = set()
        self.closed = False
        self.day: date | None = None

    def add(self, socket: Watched) -> None:
        self.sockets.setdefault(socket.user, set()).add(socket)
        # What changes between its reading and here is no news to the watch.
        self.due.add(socket.user)

    def discard(self, socket: Watched) -> None:
        sockets = self.sockets.get(socket.user, set())
        sockets.discard(socket)
        if not sockets:
            self.sockets.pop(socket.user, None)

    async def run(self) -> None:
        """Watch until cancelled."""
        while not self.closed:
            await asyncio.sleep(INTERVAL_S)
            if not self.sockets:
                self.last = -1
                continue
            try:
                await self.look()
            except AccessDown:
                continue  # the reader has logged it; tokens end by themselves
            except Exception:
                logger.exception("the watch over users' access failed")

    async def look(self) -> None:
        """Read what has changed, and tell the sockets that it is about."""
        self.due |= await self.changed()
        self.due.update(self.next_round())
        self.due &= self.sockets.keys()
        wanted = list(self.due)
        for at in range(0, len(wanted), ROUND):
            some = wanted[at : at + ROUND]
            logins = {one.login for user in some for one in self.sockets.get(user, ())}
            # Who comes in meanwhile is due again; where the reading fails, all of them stay so.
            self.due.difference_update(some)
            try:
                accounts = await self.reader.in_thread(read_accounts, some, logins)
            except BaseException:
                self.due.update(some)
                raise
            for user in some:
                for socket in list(self.sockets.get(user, ())):
                    try:
                        socket.review(accounts)
                    except Exception:
                        # One that cannot be closed properly keeps nobody else's open.
                        logger.exception("a socket could not be reviewed, it is cut off")
                        socket.cut_off()

    async def changed(self) -> set[User]:
        """Return the users here whom a change is about; all of them where that is not known."""
        today = today_in_india()
        begins, self.day = self.day not in (None, today), today
        if self.last < 0:
            self.last = await self.reader.in_thread(last_change)
            # What changed before that was read at connect, or is found on the first round.
            return set(self.sockets)
        rows = await self.reader.in_thread(changes_since, self.last)
        news = [row for row in rows if row.id not in self.seen]
        self.seen = {row.id for row in rows}
        self.last = max([self.last, *(row.id for row in rows)])
        if begins or any(row.user_id is None for row in news):
            return set(self.sockets)
        found: set[User] = {row.user_id for row in news if row.user_id is not None}
        if found:
            # Users of an outside issuer are known here by name.
            found |= {user for user in self.sockets if isinstance(user, str)}
        return found

    def next_round(self) -> list[User]:
        if not self.round:
            self.round = list(self.sockets)
        some, self.round = self.round[:ROUND], self.round[ROUND:]
        return some
