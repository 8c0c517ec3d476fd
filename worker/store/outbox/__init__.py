"""The statements about the events for the order system, and their destinations."""
