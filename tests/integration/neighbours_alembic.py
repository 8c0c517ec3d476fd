"""An order system with an Alembic of its own, as its programmers write one, in one database."""

from collections.abc import Iterator
from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Column, Engine, Integer, MetaData, Table, create_engine, inspect, text

from tests.servers.schema import ROOT

PAGE = ROOT / "docs" / "how-to" / "databases.md"

# Numbered as ours once were: each of these was a revision of ours.
_STEP = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = {revision!r}, {before!r}


def upgrade():
    op.create_table({table!r}, sa.Column("id", sa.Integer, primary_key=True))


def downgrade():
    op.drop_table({table!r})
"""
_ENV = """
from alembic import context
from sqlalchemy import create_engine

{snippet}

engine = create_engine(context.config.get_main_option("sqlalchemy.url"))
with engine.begin() as connection:
    context.configure(connection=connection, include_name=include_name)
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
"""


def block(mark: str) -> str:
    """Return a block of code of the page on databases, by the mark above it."""
    after = PAGE.read_text(encoding="utf-8").split(f"<!-- {mark} -->\n")[1]
    return after.split("\n", 1)[1].split("```")[0]


class OrderSystem:
    """Its migrations `0001` and `0002`, its models, and what it would change if it were asked."""

    TABLES = ("orders", "order_lines")

    def __init__(self, folder: Path, url: str) -> None:
        self._url = url
        (folder / "versions").mkdir(parents=True)
        (folder / "env.py").write_text(_ENV.format(snippet=block("include_name")))
        before = None
        for number, table in enumerate(self.TABLES, start=1):
            step = {"revision": f"{number:04}", "before": before, "table": table}
            (folder / "versions" / f"{number:04}.py").write_text(_STEP.format(**step))
            before = step["revision"]
        self._config = Config()
        self._config.set_main_option("script_location", str(folder))
        self._config.set_main_option("path_separator", "os")
        self._config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))

    def upgrade(self, to: str = "head") -> None:
        command.upgrade(self._config, to)

    def downgrade(self, to: str = "base") -> None:
        command.downgrade(self._config, to)

    def revision(self) -> list[str]:
        """Return what its own version table says."""
        with self._engine() as engine, engine.connect() as connection:
            rows = connection.execute(text("SELECT version_num FROM alembic_version"))
            return list(rows.scalars())

    def tables(self) -> set[str]:
        with self._engine() as engine:
            return set(self.TABLES) & set(inspect(engine).get_table_names())

    def would_change(self, *, include_schemas: bool = False) -> list[object]:
        """Return what autogenerate finds, by the snippet of the page."""
        found: dict[str, object] = {}
        exec(block("include_name"), found)  # noqa: S102 - it is ours
        models = MetaData()
        for name in self.TABLES:
            Table(name, models, Column("id", Integer, primary_key=True))
        options = {
            "include_name": found["include_name"],
            "include_schemas": include_schemas,
            "compare_type": True,
        }
        with self._engine() as engine, engine.connect() as connection:
            context = MigrationContext.configure(connection, opts=options)
            return list(compare_metadata(context, models))

    def _engine(self) -> "_Closing":
        return _Closing(create_engine(self._url))


class _Closing:
    def __init__(self, engine: Engine) -> None:
        self._made = engine

    def __enter__(self) -> Engine:
        return self._made

    def __exit__(self, *_: object) -> None:
        self._made.dispose()


def names(url: str) -> Iterator[str]:
    """Yield every table, index and function of the schemas that are not PostgreSQL's own."""
    engine = create_engine(url)
    sql = "SELECT type || ' ' || name FROM sqlite_master"
    if engine.dialect.name == "postgresql":
        sql = """
            SELECT relnamespace::regnamespace || '.' || relname FROM pg_class
            WHERE relnamespace::regnamespace::text !~ '^(pg_|information_schema)'
            UNION ALL SELECT pronamespace::regnamespace || '.' || proname || '()' FROM pg_proc
            WHERE pronamespace::regnamespace::text !~ '^(pg_|information_schema)'
            UNION ALL SELECT typnamespace::regnamespace || '.' || typname FROM pg_type
            WHERE typnamespace::regnamespace::text !~ '^(pg_|information_schema)'
            UNION ALL SELECT nspname FROM pg_namespace
        """
    with engine.connect() as connection:
        yield from connection.execute(text(sql)).scalars()
    engine.dispose()
