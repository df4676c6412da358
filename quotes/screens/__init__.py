"""What people look at in a browser: the dashboard and the documents."""
