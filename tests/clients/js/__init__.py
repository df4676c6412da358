"""Tests of the JavaScript client: Node programs and a browser, against real servers."""
