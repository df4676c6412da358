"""Ways in which callers say who they are."""
