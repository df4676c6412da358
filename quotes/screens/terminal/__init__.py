"""Live prices in a terminal, by the Python client: `manage.py watch_prices`."""
