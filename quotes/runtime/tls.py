"""TLS to Redis and to Sentinels, by the options that redis-py takes from a URL."""

import ssl
from collections.abc import Mapping
from typing import Any


def tls_context(options: Mapping[str, Any]) -> ssl.SSLContext:
    """Return a context for a connection; by default certificates are checked."""
    context = ssl.create_default_context(cafile=options.get("ssl_ca_certs"))
    if options.get("ssl_certfile"):
        context.load_cert_chain(options["ssl_certfile"], options.get("ssl_keyfile"))
    if options.get("ssl_check_hostname") is False or options.get("ssl_cert_reqs") == "none":
        context.check_hostname = False
    if options.get("ssl_cert_reqs") == "none":
        context.verify_mode = ssl.CERT_NONE
    return context
