"""The desk: what access needs once per event loop, for all of its sockets."""

import asyncio

import redis.asyncio

from quotes.access.account_reader import AccountReader
from quotes.access.accounts import Account, Identity, Limits
from quotes.access.connection_counts import ConnectionCounts, Scope
from quotes.access.credentials.tokens import needs_fetch, verify
from quotes.access.entitlements import Entitlements
from quotes.access.errors import AccessDown
from quotes.access.middleware.proxy_headers import address_group, is_loopback
from quotes.access.revocation import AccessWatch
from quotes.access.selectors import anonymous_entitlements
from quotes.conf import conf
from quotes.runtime.clock import today_in_india


class AccessService:
    """Reads who callers are, counts their connections, and watches over their access."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self.client = client
        self.reader = AccountReader()
        self.watch = AccessWatch(self.reader)
        self.counts = ConnectionCounts(client)
        self.tasks = [
            asyncio.create_task(self.watch.run()),
            asyncio.create_task(self.counts.run()),
        ]
        self.anonymous: tuple[tuple[object, ...], Entitlements] = ((), Entitlements())

    async def close(self) -> None:
        """End the watch, and count this process's connections no more."""
        # A cancellation can be lost in the Redis client, which closes what it was about to do.
        self.watch.closed = self.counts.closed = True
        for task in self.tasks:
            task.cancel()
        await asyncio.wait(self.tasks)
        await self.reader.close()
        await self.counts.leave()

    def anonymous_entitlements(self) -> Entitlements:
        asked = (conf.auth, conf.anonymous_segments, today_in_india())
        if self.anonymous[0] != asked:
            self.anonymous = (asked, anonymous_entitlements())
        return self.anonymous[1]

    async def verify(self, token: str) -> Identity:
        """Return who a token is of; raise BadCredentials or AccessDown."""
        if needs_fetch(token):
            return await asyncio.to_thread(verify, token)
        return verify(token)

    async def account(self, identity: Identity) -> Account:
        """Return how the user stands now; raise BadCredentials or AccessDown."""
        try:
            async with asyncio.timeout(conf.auth_timeout_s):
                accounts = await self.reader.read(identity.user, identity.login)
        except TimeoutError as error:
            raise AccessDown from error
        return accounts.check(identity)

    async def count_connection(self, address: str) -> list[str]:
        """Count a connection; return what it is counted by, or raise LimitReached."""
        scopes = [Scope("all", conf.max_connections, "too many connections")]
        if address and not is_loopback(address):
            limit = conf.max_connections_per_address
            reason = f"an address has at most {limit} connections"
            scopes.append(Scope(f"address:{address_group(address)}", limit, reason))
        await self.counts.acquire(scopes)
        return [scope.name for scope in scopes]

    async def count_user_connection(self, user_id: int, limits: Limits) -> list[str]:
        """Count a connection of a user; return what it is counted by, or raise LimitReached."""
        limit = limits.max_connections
        scope = Scope(f"user:{user_id}", limit, f"a user has at most {limit} connections")
        await self.counts.acquire([scope])
        return [scope.name]
