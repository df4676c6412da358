"""Admin as the operator's workplace: its site, and the pages that are of no single model."""
