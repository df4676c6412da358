"""Access over HTTP: authentication, permissions, throttles, log-in and tickets."""
