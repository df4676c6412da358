"""What any process of the server needs and that knows nothing of prices."""
