"""A price server as the Channels documentation would have one write it, for comparison."""
