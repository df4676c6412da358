"""Ways to put ticks in: publishing, with retries, from files, replays and a simulated market."""
