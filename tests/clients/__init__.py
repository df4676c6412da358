"""Tests of the client libraries in clients/, against the real server."""
