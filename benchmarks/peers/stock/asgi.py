"""The ASGI application of the stock Channels peer."""

import os

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
from django.urls import path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.peers.stock.settings")
django_application = get_asgi_application()

from benchmarks.peers.stock.consumers import PriceConsumer  # noqa: E402  needs the settings

application = ProtocolTypeRouter(
    {
        "http": django_application,
        "websocket": URLRouter([path("live-price", PriceConsumer.as_asgi())]),
    }
)
