"""The libraries that do the same job, and what each does not give of itself."""

from dataclasses import dataclass

ITS_OWN_CLAIM = "once only by the claim written here; a dead worker's claim stays"


@dataclass(frozen=True, slots=True)
class Library:
    """One other way to write the job."""

    name: str
    packages: tuple[str, ...]
    """What is pinned for it; the first one is its own."""
    program: str
    lacks: str
    """What it does not give, for a line of the table."""
    is_celery: bool = False
    """Whether it is plain Celery, which is filled as ours is, and is no bar."""

    @property
    def module(self) -> str:
        """The program that works, and that fills its queue."""
        return f"benchmarks.peers.programs.{self.program}"


LIBRARIES = (
    Library(
        "Dramatiq",
        ("dramatiq",),
        "on_dramatiq",
        f"{ITS_OWN_CLAIM}; a message that Redis lost is not sent again",
    ),
    Library(
        "Taskiq",
        ("taskiq", "taskiq-redis"),
        "on_taskiq",
        f"{ITS_OWN_CLAIM}; a dead worker's message comes back after 10 minutes;"
        " one that Redis lost is not sent again",
    ),
    Library(
        "PgQueuer",
        ("pgqueuer",),
        "on_pgqueuer",
        f"{ITS_OWN_CLAIM}, though its message comes back after 30 s",
    ),
    Library(
        "Procrastinate",
        ("procrastinate",),
        "on_procrastinate",
        f"{ITS_OWN_CLAIM}; whoever wants a dead worker's message back writes a task for it",
    ),
    Library(
        "DBOS",
        ("dbos",),
        "on_dbos",
        f"{ITS_OWN_CLAIM}; without that claim, a step that was cut off runs again, with its POST",
    ),
    Library(
        "Celery, SQLAlchemy Core",
        ("celery", "sqlalchemy"),
        "on_celery_core",
        f"{ITS_OWN_CLAIM}; a message that Redis lost is not sent again",
        is_celery=True,
    ),
    Library(
        "Celery, SQLAlchemy ORM",
        ("celery", "sqlalchemy"),
        "on_celery_orm",
        "the same",
        is_celery=True,
    ),
)

BARE = "bare Celery POST"
BACKLOG = "ours, jobs that wait in the table"
HINTED = "ours, by a hint each"
"""What the libraries are held against."""

LACKS = {
    BARE: "nothing is kept; a message that comes twice is sent twice",
    BACKLOG: "any other job than this one",
    HINTED: "the same",
    **{each.name: each.lacks for each in LIBRARIES},
}
"""What each contender does not give of itself."""
