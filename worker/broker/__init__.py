"""The Celery side: the application, queues, hints, and what stands between Celery and a broker."""
