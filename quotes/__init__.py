"""The path of a tick: from publishers through the bridge to WebSocket and REST clients."""
