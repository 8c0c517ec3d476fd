"""What a peer's program is told, by its environment."""

import os
from dataclasses import dataclass
from typing import Self

PREFIX = "PEERS_"


@dataclass(frozen=True, slots=True)
class Given:
    """The servers of a run, and how many calls are made at once."""

    database_url: str
    """As libpq reads it."""
    broker_url: str
    bank_url: str
    concurrency: int

    @classmethod
    def read(cls) -> Self:
        """Return what the environment says."""
        told = {name: os.environ[f"{PREFIX}{name.upper()}"] for name in cls.__slots__}
        return cls(
            told["database_url"],
            told["broker_url"],
            told["bank_url"],
            int(told["concurrency"]),
        )

    def told(self) -> dict[str, str]:
        """Return the environment that says it."""
        return {f"{PREFIX}{name.upper()}": str(getattr(self, name)) for name in self.__slots__}

    @property
    def sqlalchemy_url(self) -> str:
        """The database, as SQLAlchemy reads it."""
        return self.database_url.replace("postgresql:", "postgresql+psycopg:", 1)

    @property
    def aside_url(self) -> str:
        """A Redis database that nobody reads: messages are written there, and moved at a stroke."""
        return f"{self.broker_url.rsplit('/', 1)[0]}/15"
