"""What one event loop needs of access, for all of its sockets."""

import asyncio
import logging

from quotes.access.account_reader import AccountReader
from quotes.access.accounts import Account, Identity, Limits
from quotes.access.connection_counts import ConnectionCounts, Scope
from quotes.access.credentials.api_keys import KEY_START, reader_identity
from quotes.access.credentials.jwks import fetched
from quotes.access.credentials.tokens import key_fetch, verify
from quotes.access.entitlements import Entitlements
from quotes.access.errors import AccessDown
from quotes.access.middleware.proxy_headers import address_group, is_loopback
from quotes.access.revocation import AccessWatch
from quotes.access.selectors import anonymous_entitlements
from quotes.conf import conf
from quotes.runtime.background import BackgroundTasks
from quotes.runtime.clock import today_in_india
from quotes.store.request_clients import RequestRedis

logger = logging.getLogger(__name__)


class AccessService:
    """Verifies tokens, reads accounts, counts connections and watches over authenticated sockets.

    Belongs to the event loop that is running when it is made; `close` ends its tasks. Its methods
    may be cancelled.

    Attributes:
        requests: Redis, for tickets and counts; the caller closes it.
        watch: sockets are added to it when they authenticate, and discarded when they end.
        tasks: runs both; sockets start theirs there.
        counts: connections are released there under the names that counting them returned.
    """

    def __init__(self, requests: RequestRedis) -> None:
        self.requests = requests
        self.counts = ConnectionCounts(requests)
        self._reader = AccountReader()
        self.watch = AccessWatch(self._reader)
        self.tasks = BackgroundTasks(logger)
        self.tasks.keep("reviewing connected users", self.watch.run)
        self.tasks.keep("counting connections", self.counts.run)
        self._anonymous: tuple[tuple[object, ...], Entitlements] = ((), Entitlements())

    async def close(self) -> None:
        """End the watch, and give up the counts of this process."""
        # A cancellation can be lost in the Redis client, so each loop is stopped as well.
        self.watch.stop()
        self.counts.stop()
        await self.tasks.close()
        await self._reader.close()
        await self.counts.leave()

    def anonymous_entitlements(self) -> Entitlements:
        """Return what a client may see before it authenticates."""
        key = (conf.auth, conf.anonymous_segments, today_in_india())
        if self._anonymous[0] != key:
            self._anonymous = (key, anonymous_entitlements())
        return self._anonymous[1]

    async def verify(self, token: str) -> Identity:
        """Return the identity of a token or an API key; raise BadCredentials or AccessDown."""
        if token.startswith(KEY_START):
            try:
                async with asyncio.timeout(conf.auth_timeout_s):
                    return await self._reader.run_in_thread(reader_identity, token)
            except TimeoutError as error:
                raise AccessDown from error
        fetch = key_fetch(token)
        if fetch is not None:
            await fetched(fetch)
        return verify(token, may_wait=False)

    async def account(self, identity: Identity) -> Account:
        """Read the account of an identity; raise BadCredentials or AccessDown."""
        try:
            async with asyncio.timeout(conf.auth_timeout_s):
                accounts = await self._reader.read(identity.user, identity.login)
        except TimeoutError as error:
            raise AccessDown from error
        return accounts.check(identity)

    async def count_connection(self, address: str) -> list[str]:
        """Count a connection in all and of its address; return the names of its counts.

        Raises:
            LimitReached: there are as many as there may be; it is not counted.
        """
        scopes = [Scope("all", conf.max_connections, "too many connections")]
        if address and not is_loopback(address):
            limit = conf.max_connections_per_address
            reason = f"an address may have at most {limit} connections"
            scopes.append(Scope(f"address:{address_group(address)}", limit, reason))
        await self.counts.acquire(scopes)
        return [scope.name for scope in scopes]

    async def count_user_connection(self, user_id: int, limits: Limits) -> list[str]:
        """Count a connection of a user; return the names of its counts, or raise LimitReached."""
        limit = limits.max_connections
        scope = Scope(f"user:{user_id}", limit, f"a user may have at most {limit} connections")
        await self.counts.acquire([scope])
        return [scope.name]
