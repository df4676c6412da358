"""`python -m benchmarks.right_day`: see `command.py`."""

from benchmarks.right_day.command import main

main()
