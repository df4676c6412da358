"""Live prices to connected clients."""
