"""The worker process: its tasks, its threads, its shutdown and its health."""
