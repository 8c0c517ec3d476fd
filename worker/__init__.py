"""Cancel K PLUS payment tokens, once each, and remember what became of them."""

__version__ = "0.1.0"
