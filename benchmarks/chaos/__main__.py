"""`python -m benchmarks.chaos [FAULT ...]`: see `command.py`."""

import django

from benchmarks.chaos.settings import set_own_environment


def main() -> None:
    set_own_environment()
    django.setup()
    # Its modules use models, which need the settings.
    from benchmarks.chaos.command import main as run

    run()


if __name__ == "__main__":
    main()
