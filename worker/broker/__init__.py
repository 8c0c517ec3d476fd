"""The Celery side: application, queues, hints, consumer and transports."""
