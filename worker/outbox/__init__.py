"""Telling the order system of outcomes: the relay, a webhook, a Celery message."""
