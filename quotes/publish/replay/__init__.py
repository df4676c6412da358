"""Replays of recorded ticks."""
