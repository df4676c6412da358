"""The channel layer, which any Channels project can use."""

from quotes.layer.channel_layer import QuotesChannelLayer

__all__ = ["QuotesChannelLayer"]
