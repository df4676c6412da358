"""Middleware: addresses behind proxies, the size of bodies, lock-outs, the acting request."""
