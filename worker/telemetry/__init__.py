"""What a process says of itself: logs, and the redaction of secrets in them."""
