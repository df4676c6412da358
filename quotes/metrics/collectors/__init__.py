"""What each kind of process reports: read from memory when a scrape comes, in another thread.

Nothing here waits or takes a lock; a number that changes meanwhile is the one before or after.
"""
