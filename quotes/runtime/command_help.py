"""Help texts of management commands with examples, which argparse would run together."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser, DjangoHelpFormatter

_HEADING = "examples:"


class _ExamplesFormatter(DjangoHelpFormatter):
    """Wraps a description and keeps the lines of examples."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if text.startswith(_HEADING) else super()._fill_text(text, width, indent)


class CommandWithExamples(BaseCommand):
    """A command whose `--help` ends with examples.

    Attributes:
        examples: pairs of arguments and what they do, "" where that is plain.
    """

    examples: tuple[tuple[str, str], ...] = ()

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        width = max((len(arguments) for arguments, text in self.examples if text), default=0)
        lines = [
            f"  manage.py {subcommand} {arguments:<{width}}  {text}".rstrip()
            for arguments, text in self.examples
        ]
        kwargs |= {
            "epilog": "\n".join([_HEADING, *lines]),
            "formatter_class": _ExamplesFormatter,
        }
        return super().create_parser(prog_name, subcommand, **kwargs)
