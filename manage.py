#!/usr/bin/env python
"""Run a management command of the price server."""

import os
import sys

# Commands that create databases, and files of the processes that they start.
_PRIVATE = ("migrate", "serve", "doctor")


def main() -> None:
    if sys.argv[1:2] and sys.argv[1] in _PRIVATE:
        os.umask(0o077)  # what they hold is for this user alone
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(f"manage.py: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
