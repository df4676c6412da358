"""A day that is recorded while history is edited, and tables that must be right in the end."""
