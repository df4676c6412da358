"""Kite as a source of prices: one upstream connection, or a few, for all users of this server."""
