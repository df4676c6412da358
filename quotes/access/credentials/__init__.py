"""The credentials of callers: tokens, log-ins, tickets and API keys."""
