"""Access over HTTP: permissions, throttles, log-in and tickets."""
