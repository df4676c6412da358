"""Fixtures that other folders have as well: `serve`, and the broker of Kafka."""

from tests.kafka.conftest import broker
from tests.serve.conftest import database_url, serve

__all__ = ("broker", "database_url", "serve")
