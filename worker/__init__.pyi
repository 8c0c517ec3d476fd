from worker.enqueue import Producer, Receipt, enqueue_cancel, enqueue_many

__version__: str
__all__ = ["Producer", "Receipt", "__version__", "enqueue_cancel", "enqueue_many"]
