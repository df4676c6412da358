"""How dates and times are written in pages for people: as ISO 8601 does, in Indian time."""
