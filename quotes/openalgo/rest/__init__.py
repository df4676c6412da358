"""OpenAlgo's REST API."""
