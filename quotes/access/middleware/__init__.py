"""What access does around each request."""
