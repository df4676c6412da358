"""Servers that do the price server's job by other means, for comparison."""
