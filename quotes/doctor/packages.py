"""Packages: whether what is installed is what this release was tested with."""

import platform
import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from django.conf import settings

from quotes.doctor.deployment import Deployment
from quotes.doctor.findings import Finding, error, summed_up, warning
from quotes.runtime.speedups import package as speedups

_PINNED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==(\S+)", re.MULTILINE)
_CURE = "run `make setup`, or pip install -r requirements.txt, and restart"


def check_packages(deployment: Deployment) -> Iterator[Finding]:
    """Compare the installed packages with requirements.txt."""
    wanted = dict(_PINNED.findall(_requirements()))
    used = "with speedups" if speedups is not None else "without speedups"
    well = f"{len(wanted)} packages as in requirements.txt, Python {platform.python_version()}, "
    yield from summed_up(_problems(wanted), well + used)


def _requirements() -> str:
    try:
        return Path(settings.BASE_DIR, "requirements.txt").read_text()
    except OSError:
        return ""


def _problems(wanted: dict[str, str]) -> Iterator[Finding]:
    for name, version in wanted.items():
        try:
            found = metadata.version(name)
        except metadata.PackageNotFoundError:
            yield error(f"{name} is not installed", _CURE)
            continue
        if found != version:
            yield warning(f"{name} is {found}, this release was tested with {version}", _CURE)
