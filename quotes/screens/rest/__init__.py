"""The watch lists of a user over REST."""
