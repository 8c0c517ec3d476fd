"""The statements about what the order system is told, and about where."""
