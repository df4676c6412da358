"""The project's documents at /docs/: its Markdown files, as pages that work offline."""
