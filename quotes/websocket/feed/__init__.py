"""What one web process knows for all of its clients."""
