"""Generated requests to the whole REST API, checked against its own OpenAPI document."""
