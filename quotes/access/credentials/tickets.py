"""One-time tickets for a WebSocket's URL: 30 s, good once, kept in Redis as their hash only."""

import hashlib
import secrets

import msgspec
import redis
import redis.asyncio

from quotes.access.accounts import Identity
from quotes.access.errors import BadCredentials
from quotes.store.names import own_key

TICKET_S = 30
MAX_LENGTH = 128


def ticket_key(ticket: str) -> str:
    # Who reads Redis finds no ticket there; what is looked up is its hash, so how long that takes
    # tells nothing of it.
    return own_key(f"ticket:{hashlib.sha256(ticket.encode()).hexdigest()}")


def ticket_issue(*, identity: Identity, client: redis.Redis) -> str:
    """Return a new ticket for a socket of the user; raise redis.RedisError."""
    ticket = secrets.token_urlsafe(32)
    client.set(ticket_key(ticket), msgspec.json.encode(identity), ex=TICKET_S)
    return ticket


async def ticket_redeem(ticket: str, *, client: redis.asyncio.Redis) -> Identity:
    """Return whose ticket it is, for the first that asks.

    Raises:
        BadCredentials: it is none, was used, or is older than 30 s.
        redis.RedisError: Redis does not answer.
    """
    value = None
    if 0 < len(ticket) <= MAX_LENGTH:
        value = await client.getdel(ticket_key(ticket))
    if value is None:
        raise BadCredentials("the ticket is unknown, was used or has expired")
    return msgspec.json.decode(value, type=Identity)
