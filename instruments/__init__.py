"""The master of what trades: exchanges, segments, instruments, sessions, and their names."""
