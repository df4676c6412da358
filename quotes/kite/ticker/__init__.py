"""Kite's ticker at `/kite`: live prices as packets, for clients that were written for Kite."""
