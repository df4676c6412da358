"""Who may see what: credentials, entitlements, limits, and how each interface enforces them."""
