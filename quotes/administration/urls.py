"""The addresses of the operator's pages, below admin's own."""

from quotes.administration import bulk_grants, connections, user_access

# address, view, name
PAGES = (
    ("connections/", connections.connections, "connections"),
    ("connections/data/", connections.connections_data, "connections_data"),
    ("connections/close/", connections.connection_close, "connection_close"),
    ("users/<int:number>/access/", user_access.user_access, "user_access"),
    ("segments/access/", user_access.segment_access, "segment_access"),
    ("grants/", bulk_grants.bulk_grants, "bulk_grants"),
)
