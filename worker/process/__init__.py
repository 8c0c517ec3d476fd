"""The worker process: its tasks, its loops, how it ends, and how it shows that it lives."""
