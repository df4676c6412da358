"""What a client is subscribed to, and how it gets from nothing to live prices."""
