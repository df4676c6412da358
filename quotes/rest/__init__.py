"""Latest prices, publishing, health and the page over HTTP."""
