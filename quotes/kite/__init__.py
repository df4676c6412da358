"""Kite's protocols, for programs that were written for Kite Connect."""
