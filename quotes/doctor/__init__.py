"""Checks of a deployment, and instructions for what is wrong: `manage.py doctor`."""
