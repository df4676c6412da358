"""Whether the commands and settings in `deploy/` are those of this version."""

from collections.abc import Iterable, Sequence
from pathlib import PurePath

from django.core.management import get_commands, load_command_class
from django.core.management.base import BaseCommand

from instruments.conf import conf as instruments_conf
from quotes.conf import conf
from quotes.kafka.conf import conf as kafka_conf
from quotes.serve import uvicorn_process
from tests.programs import ROOT


def check_command(command: Sequence[str]) -> None:
    """Fail unless it is `python manage.py COMMAND` with options that exist, or a web process."""
    program, *arguments = command
    assert PurePath(program).name == "python"
    if arguments[0] == "-m":
        assert arguments[1] == uvicorn_process.__name__
        for address in arguments[2:]:
            host, _, port = address.rpartition(":")
            assert host
            assert port.isdigit(), address
        return
    assert arguments[0] == "manage.py"
    name = arguments[1]
    owner = get_commands().get(name)
    assert owner is not None, f"manage.py has no command {name!r}"
    found = owner if isinstance(owner, BaseCommand) else load_command_class(owner, name)
    # Exits, which is an error, on an option that does not exist.
    found.create_parser("manage.py", name).parse_args(arguments[2:])


def check_settings(names: Iterable[str]) -> None:
    """Fail unless each name is a setting, of the apps or of the deployment."""
    documented = (ROOT / "docs/settings.md").read_text()
    for name in names:
        prefix, _, rest = name.partition("_")
        groups = {"QUOTES": conf, "INSTRUMENTS": instruments_conf, "KAFKA": kafka_conf}
        if prefix in groups:
            assert hasattr(type(groups[prefix]), rest.lower()), f"{name} is no setting"
        assert f"\n### {name}\n" in documented, f"{name} is not in docs/settings.md"
