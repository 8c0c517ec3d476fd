"""
Cancel K PLUS payment tokens, once each, and keep a record of every outcome.

A producer needs four names: `from worker import Producer, Receipt, enqueue_cancel, enqueue_many`.
They are loaded at their first use: `import worker` alone loads neither SQLAlchemy nor Celery. Type
checkers read `__init__.pyi`.
"""

from worker.telemetry.about import __version__

__all__ = ["Producer", "Receipt", "__version__", "enqueue_cancel", "enqueue_many"]


def __getattr__(name: str) -> object:
    """Load one of the producers' names. Raise AttributeError for any other name."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
    from importlib import import_module  # noqa: PLC0415 - only for the first use of a name

    value = globals()[name] = getattr(import_module("worker.enqueue"), name)
    return value


def __dir__() -> list[str]:
    """Return the names of the module, and those that are not loaded yet."""
    return sorted({*globals(), *__all__})
