"""`python -m benchmarks.client_losses`: see `command.py`."""

import django

from benchmarks.chaos.settings import set_own_environment


def main() -> None:
    set_own_environment()
    django.setup()
    # Its modules use settings.
    from benchmarks.client_losses.command import main as run

    run()


if __name__ == "__main__":
    main()
