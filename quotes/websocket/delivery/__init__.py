"""What is due to one client: made once for all, in bounded memory."""
