"""A database without the rules that our tables have, as one that was restored from elsewhere."""

from sqlalchemy import Connection, text

_CHECKS = (
    "SELECT conrelid::regclass::text, conname FROM pg_constraint"
    " WHERE contype = 'c' AND connamespace = current_schema()::regnamespace"
    # As every statement of a worker: the jobs first. In another order both wait for the other.
    " ORDER BY conrelid <> 'cancel_jobs'::regclass, conrelid, conname"
)
_TRIGGERS = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'ck_%'"


def drop_rules(connection: Connection) -> None:
    """Drop every CHECK and every trigger that stands for one."""
    if connection.dialect.name == "postgresql":
        for table, name in connection.execute(text(_CHECKS)).all():
            connection.exec_driver_sql(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
        return
    for name in connection.execute(text(_TRIGGERS)).scalars().all():
        connection.exec_driver_sql(f"DROP TRIGGER {name}")
