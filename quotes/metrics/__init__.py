"""Metrics of all processes for Prometheus, at `/metrics`."""
