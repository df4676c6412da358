"""The ASGI application: HTTP to Django, WebSockets to the consumer."""

import os
import sys
import warnings

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
# WhiteNoise gives files as synchronous iterators, which Django reads whole: they are small.
warnings.filterwarnings(
    "ignore", message="StreamingHttpResponse must consume synchronous iterators"
)
django_application = get_asgi_application()

# These import models and settings, which are there only now.
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.urls import path, re_path  # noqa: E402

from config import doors  # noqa: E402
from instruments.conf import conf as instruments_conf  # noqa: E402
from instruments.index import index  # noqa: E402
from quotes.access.middleware.body_limit import BodyLimit  # noqa: E402
from quotes.access.middleware.proxy_headers import ProxyHeaders  # noqa: E402
from quotes.metrics.asgi import measured  # noqa: E402
from quotes.store.server_check import WrongRedis, refuse_wrong_redis  # noqa: E402
from quotes.websocket.consumers import LivePriceConsumer  # noqa: E402
from quotes.websocket.feed.feed import master_changed  # noqa: E402
from quotes.websocket.origins import OriginCheck  # noqa: E402
from quotes.websocket.refusals import refuse_path  # noqa: E402

try:
    refuse_wrong_redis()
except WrongRedis as error:
    sys.exit(str(error))

if instruments_conf.follow_master:
    index.follow(master_changed)

application = measured(
    ProxyHeaders(
        doors.Mounts(
            doors.mounts(),
            ProtocolTypeRouter(
                {
                    "http": BodyLimit(django_application),
                    "websocket": OriginCheck(
                        URLRouter(
                            [
                                path("live-price", LivePriceConsumer.as_asgi()),
                                *doors.websockets(),
                                re_path("", refuse_path),  # type: ignore[arg-type]
                            ]
                        )
                    ),
                }
            ),
        )
    )
)
