"""System checks: a wrong setting stops the start with the cure."""

from typing import Any

from django.core.checks import Error, register
from django.core.exceptions import ImproperlyConfigured

from instruments.conf import conf as instruments_conf
from quotes.conf import DOORS
from quotes.conf import conf as quotes_conf
from quotes.errors import BadRetention, quoted
from quotes.history.maintenance.retention import parse_retention
from quotes.history.queries.ranges import parse_limits
from quotes.kafka.conf import conf as kafka_conf
from quotes.metrics.address import metrics_address
from quotes.metrics.tracing import PACKAGES, has_tracing_packages

# Shorter ones can be guessed.
MIN_TOKEN = 16


@register()
def check_settings(**kwargs: Any) -> list[Error]:
    """quotes.E001: a QUOTES_*, INSTRUMENTS_* or KAFKA_* setting is wrong or unknown."""
    problems = [*quotes_conf.problems(), *instruments_conf.problems(), *kafka_conf.problems()]
    try:
        parse_retention(quotes_conf.keep_history)
    except BadRetention as error:
        problems.append(f"QUOTES_KEEP_HISTORY: {error}")
    try:
        parse_limits(str(quotes_conf.history_max_days))
    except ImproperlyConfigured as error:
        problems.append(str(error))
    for name in quotes_conf.doors.split(","):
        if name.strip() and name.strip() not in DOORS:
            known = ", ".join(DOORS)
            problems.append(f"QUOTES_DOORS: a door must be one of {known}, got {quoted(name)}")
    try:
        metrics_address()
    except ValueError as error:
        problems.append(f"QUOTES_METRICS {error}")
    if quotes_conf.metrics_token and len(quotes_conf.metrics_token) < MIN_TOKEN:
        problems.append(f"QUOTES_METRICS_TOKEN must have at least {MIN_TOKEN} characters")
    url = quotes_conf.tracing_url
    if url and not url.startswith(("http://", "https://")):
        problems.append(
            f"QUOTES_TRACING_URL must begin with http:// or https://, got {quoted(url)}"
        )
    elif url and not has_tracing_packages():
        problems.append(f"QUOTES_TRACING_URL needs packages: run pip install {PACKAGES}")
    return [Error(problem, id="quotes.E001") for problem in problems]
