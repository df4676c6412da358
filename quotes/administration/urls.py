"""The addresses of the operator's pages, below admin's own."""

from quotes.administration import connections

# address, view, name
PAGES = (
    ("connections/", connections.connections, "connections"),
    ("connections/data/", connections.connections_data, "connections_data"),
    ("connections/close/", connections.connection_close, "connection_close"),
)
