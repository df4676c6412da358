"""Ways to publish ticks: singly, with retries, from files, from recordings, from a simulation."""
