"""Delivery of outcomes to the order system: the relay, the webhook, the Celery message."""
