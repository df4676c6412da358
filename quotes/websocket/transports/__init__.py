"""How frames reach a socket on each ASGI server."""
