"""Settings of the stock Channels peer: no database, no admin, the stock Redis layer."""

import os

SECRET_KEY = "only for benchmarks"
ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = ["channels"]
USE_TZ = True
REDIS_URL = f"redis://127.0.0.1:{os.environ['REDIS_PORT']}/0"
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [REDIS_URL]},
    }
}
