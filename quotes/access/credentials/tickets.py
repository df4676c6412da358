"""Tickets for a WebSocket's URL: valid once, for 30 s; Redis has only their hashes."""

import hashlib
import secrets

import msgspec
import redis
import redis.asyncio

from quotes.access.accounts import Identity
from quotes.access.errors import BadCredentials
from quotes.store.names import own_key

TICKET_S = 30
_MAX_LENGTH = 128


def _ticket_key(ticket: str) -> str:
    # A reader of Redis finds no ticket; and since its hash is looked up, the time that this takes
    # gives nothing away.
    return own_key(f"ticket:{hashlib.sha256(ticket.encode()).hexdigest()}")


def ticket_issue(*, identity: Identity, client: redis.Redis) -> str:
    """Return a new ticket that opens a socket with the identity; raise redis.RedisError."""
    ticket = secrets.token_urlsafe(32)
    client.set(_ticket_key(ticket), msgspec.json.encode(identity), ex=TICKET_S)
    return ticket


async def ticket_redeem(ticket: str, *, client: redis.asyncio.Redis) -> Identity:
    """Return the identity of a ticket, which is invalid afterwards.

    Raises:
        BadCredentials: it is not a ticket, was used, or is older than 30 s.
        redis.RedisError: Redis does not answer.
    """
    value = None
    if 0 < len(ticket) <= _MAX_LENGTH:
        value = await client.getdel(_ticket_key(ticket))
    if value is None:
        raise BadCredentials("the ticket is unknown, was used or has expired")
    return msgspec.json.decode(value, type=Identity)
