"""Who may see what: tokens, entitlements, limits, and what they mean at every door."""
