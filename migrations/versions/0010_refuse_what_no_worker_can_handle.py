"""
Refuse rows that no worker can read or send, and set right those that are there.

Plain SQL writes any column: `infinity` is a time of PostgreSQL and none of Python's, a count at its
limit cannot be counted on, and a uid with a blank cannot be sent. From now on the database refuses
them: by CHECKs on PostgreSQL, by triggers on SQLite, which cannot add a CHECK to a table.

What is there is set right before, each row with a record in `operator_actions` (`set_right`): a
time that does not exist becomes none, or now where the row needs one; a count comes back between
its bounds; a job that cannot be sent ends, `unknown` if it may have been sent, else `gave_up`. No
event tells the order system of that end: `export` lists it.

It also indexes the token, and marks jobs of a token that another job names (`same_token`). Jobs
claimed before carry no mark.

Who writes waits until it is done, and at its end who reads waits as well. Measured with half a
million jobs on a machine that was busy with other work: 5.3 s, of which readers wait 2.1 s. It
grows with the jobs; most of it builds the index over the token and tries the CHECKs.

Revision: 0010, after 0009.
"""

import json
import logging
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "kplus_0010"
down_revision = "kplus_0009"
branch_labels = None
depends_on = None

log = logging.getLogger("alembic.runtime.migration")

_MOST = 1_000_000_000
_TOLD = 20
"""So many rows are named in the output; all are in `operator_actions`."""
_REASON = "migration 0010: it held what no worker can read, count on or send"

_TIMES = {
    "cancel_jobs": (
        "created_at",
        "updated_at",
        "next_attempt_at",
        "expires_at",
        "finished_at",
        "lease_ends_at",
        "hinted_at",
        "requeued_at",
        "still_payable_at",
    ),
    "rejected_messages": ("first_at", "last_at"),
}
_MAY_BE_NONE = ("expires_at", "hinted_at", "requeued_at", "still_payable_at")
_COUNTS = {
    "cancel_jobs": ("attempts", "conversations", "ends"),
    "rejected_messages": ("deliveries",),
}
_KEYS = {"cancel_jobs": "partner_txn_uid", "rejected_messages": "digest"}
_LONGEST = {"partner_txn_uid": 64, "partner_id": 64, "token_id": 128, "reference1": 128}
_IDENTIFIERS = ("partner_txn_uid", "partner_id", "token_id")
_FINAL = ("succeeded", "refused", "exhausted")

_SQLITE_TIME = (
    "typeof({0}) IN ('text', 'null') AND {0} >= '0001'"
    " AND {0} GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]"
    " [0-9][0-9]:[0-9][0-9]:[0-9][0-9]*'"
    " AND coalesce(datetime(substr({0}, 1, 19), '+0 days'), '') = substr({0}, 1, 19)"
    " AND (length({0}) = 19 OR (length({0}) BETWEEN 21 AND 26"
    " AND substr({0}, 20, 1) = '.' AND substr({0}, 21) NOT GLOB '*[^0-9]*'))"
)
_POSTGRESQL_TIME = "{0} BETWEEN '0001-01-01 00:00:00+00' AND '9999-12-31 23:59:59.999999+00'"


def upgrade() -> None:
    """Set right what is there, then refuse it; add the mark and its indexes."""
    on_sqlite = op.get_bind().dialect.name == "sqlite"
    if not on_sqlite:
        # Nobody writes another such row meanwhile; readers go on.
        op.execute("LOCK TABLE cancel_jobs, rejected_messages IN SHARE ROW EXCLUSIVE MODE")
    if not op.get_context().as_sql:
        _set_right(op.get_bind(), on_sqlite=on_sqlite)
    op.create_index("ix_cancel_jobs_token", "cancel_jobs", ["token_id"])
    op.add_column(
        "cancel_jobs",
        sa.Column("same_token", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
    op.create_index(
        "ix_cancel_jobs_same_token",
        "cancel_jobs",
        ["updated_at"],
        postgresql_where=sa.text("same_token"),
        sqlite_where=sa.text("same_token"),
    )
    for table in _KEYS:
        _hold(table, on_sqlite=on_sqlite)


def downgrade() -> None:
    """Accept any row again. What was set right stays so; the marks are gone."""
    for table in _KEYS:
        _release(table, on_sqlite=op.get_bind().dialect.name == "sqlite")
    op.drop_index("ix_cancel_jobs_same_token", "cancel_jobs")
    op.drop_column("cancel_jobs", "same_token")
    op.drop_index("ix_cancel_jobs_token", "cancel_jobs")


def _rules(table: str, *, on_sqlite: bool, row: str = "") -> dict[str, str]:
    """Return the rules of a table by name; on SQLite `row` names the row of a trigger."""
    times, counts = _TIMES[table], _COUNTS[table]
    if on_sqlite:
        found = {
            "times_exist": [_SQLITE_TIME.format(f"{row}{name}") for name in times],
            "counts_have_room": [
                f"typeof({row}{name}) = 'integer' AND {row}{name} BETWEEN 0 AND {_MOST}"
                for name in counts
            ],
        }
    else:
        found = {
            "times_exist": [_POSTGRESQL_TIME.format(name) for name in times],
            "counts_have_room": [f"{name} BETWEEN 0 AND {_MOST}" for name in counts],
        }
    joined = {name: " AND ".join(conditions) for name, conditions in found.items()}
    if table == "cancel_jobs":
        fields = _sendable_on_sqlite(row) if on_sqlite else _SENDABLE
        joined["open_can_be_sent"] = f"{row}finished_at IS NOT NULL OR ({' AND '.join(fields)})"
    return joined


_SENDABLE = (
    *(f"{name} COLLATE \"C\" ~ '^[!-~]+$'" for name in _IDENTIFIERS),
    "reference1 COLLATE \"C\" ~ '[^ ]'",
    r"""reference1 COLLATE "C" !~ '[\u0001-\u001f\u007f]'""",
)


def _sendable_on_sqlite(row: str) -> list[str]:
    return [
        *(
            f"typeof({row}{name}) = 'text' AND instr({row}{name}, char(0)) = 0"
            f" AND length({row}{name}) BETWEEN 1 AND {longest}"
            for name, longest in _LONGEST.items()
        ),
        *(f"{row}{name} NOT GLOB '*[^!-~]*'" for name in _IDENTIFIERS),
        f"trim({row}reference1, ' ') <> ''",
        f"{row}reference1 NOT GLOB '*[' || char(1) || '-' || char(31) || char(127) || ']*'",
    ]


def _hold(table: str, *, on_sqlite: bool) -> None:
    if on_sqlite:
        for change in ("insert", "update"):
            op.execute(_trigger(table, change))
        return
    # In one statement, so that the table is read once.
    rules = _rules(table, on_sqlite=False)
    added = (f"ADD CONSTRAINT ck_{table}_{name} CHECK ({rule})" for name, rule in rules.items())
    op.execute(f"ALTER TABLE {table} {', '.join(added)}")


def _release(table: str, *, on_sqlite: bool) -> None:
    if on_sqlite:
        for change in ("insert", "update"):
            op.execute(f"DROP TRIGGER ck_{table}_{change}")
        return
    dropped = (f"DROP CONSTRAINT ck_{table}_{name}" for name in _rules(table, on_sqlite=False))
    op.execute(f"ALTER TABLE {table} {', '.join(dropped)}")


def _trigger(table: str, change: str) -> str:
    cases = " ".join(
        f"WHEN NOT ({rule}) THEN RAISE(ABORT, 'CHECK constraint failed: ck_{table}_{name}')"
        for name, rule in _rules(table, on_sqlite=True, row="NEW.").items()
    )
    return (
        f"CREATE TRIGGER ck_{table}_{change} BEFORE {change.upper()} ON {table}"
        f" BEGIN SELECT CASE {cases} END; END"
    )


def _set_right(connection: sa.Connection, *, on_sqlite: bool) -> None:
    now = datetime.now(UTC)
    told = 0
    for table, key in _KEYS.items():
        for row in _wrong(connection, table, on_sqlite=on_sqlite):
            changes = dict(_changes(table, row, now=now, on_sqlite=on_sqlite))
            _write(connection, table, row[key], changes)
            before = {name: row[name] for name in changes}
            _record(connection, str(row[key]), before, changes, now=now)
            told += 1
            if told <= _TOLD:
                log.warning("set right: %s %r: %s", table, row[key], _said(before, changes))
    if told > _TOLD:
        log.warning("set right: %d rows in all; operator_actions has each", told)


def _wrong(connection: sa.Connection, table: str, *, on_sqlite: bool) -> list[dict[str, Any]]:
    """Return the rows that break a rule, their times as text, and which rules they keep."""
    kept = {name: f"({rule})" for name, rule in _rules(table, on_sqlite=on_sqlite).items()}
    form = _SQLITE_TIME if on_sqlite else _POSTGRESQL_TIME
    columns = [
        _KEYS[table],
        *(
            f"CAST({name} AS {'TEXT' if on_sqlite else 'VARCHAR'}) AS {name}"
            for name in _TIMES[table]
        ),
        *(f"({form.format(name)}) AS {name}_exists" for name in _TIMES[table]),
        *_COUNTS[table],
        *(f"{rule} AS {name}" for name, rule in kept.items()),
    ]
    if table == "cancel_jobs":
        columns += ["state", "outcome", "doubted", "lease_id", "lease_kind"]
    where = " OR ".join(f"NOT {rule}" for rule in kept.values())
    statement = f"SELECT {', '.join(columns)} FROM {table} WHERE {where}"  # noqa: S608 - ours
    return [dict(row) for row in connection.exec_driver_sql(statement).mappings()]


def _changes(
    table: str, row: Mapping[str, Any], *, now: datetime, on_sqlite: bool
) -> Iterator[tuple[str, Any]]:
    """Yield the columns of a row that change, and what they become."""
    written = now.strftime("%Y-%m-%d %H:%M:%S.%f") if on_sqlite else now.isoformat()
    for name in _TIMES[table]:
        if row[name] is not None and not row[f"{name}_exists"]:
            read = _in_utc(row[name]) if on_sqlite else None
            yield name, read or (None if name in _MAY_BE_NONE else written)
    counts = {name: _bounded(row[name]) for name in _COUNTS[table]}
    if table == "cancel_jobs":
        counts["conversations"] = max(counts["conversations"], counts["attempts"])
        if not (row["state"] in _FINAL or row["open_can_be_sent"]):
            counts["ends"] = min(counts["ends"] + 1, _MOST)
            yield from _ended(row, written)
    yield from ((name, count) for name, count in counts.items() if count != row[name])


def _ended(row: Mapping[str, Any], written: str) -> Iterator[tuple[str, Any]]:
    """Yield what ends a job that cannot be sent."""
    doubted = bool(row["doubted"]) or row["state"] in {"in_flight", "in_doubt"}
    yield "state", "exhausted"
    yield "outcome", "unknown" if doubted else "gave_up"
    yield "doubted", doubted
    yield from ((name, written) for name in ("finished_at", "updated_at"))
    for name in ("next_attempt_at", "hinted_at", "lease_id", "lease_ends_at", "lease_kind"):
        yield name, None


def _in_utc(stored: str) -> str | None:
    """Return a time that SQLite holds in another form than ours; None if it is none."""
    try:
        at = datetime.fromisoformat(stored)
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return at.replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")


def _bounded(count: object) -> int:
    return min(max(count, 0), _MOST) if isinstance(count, int) else 0


def _write(connection: sa.Connection, table: str, key: object, changes: Mapping[str, Any]) -> None:
    # Plain texts: each database reads them as the column's type.
    given = ", ".join(f"{name} = {_value(changes[name])}" for name in changes)
    statement = f"UPDATE {table} SET {given} WHERE {_KEYS[table]} = :key"  # noqa: S608 - ours
    connection.execute(sa.text(statement), {"key": key})


def _value(value: object) -> str:
    """Return a value of ours as SQL: a time, a word, a count or nothing."""
    if value is None:
        return "NULL"
    if isinstance(value, bool | int):
        return str(value).lower()
    return "'" + str(value).replace(":", r"\:") + "'"


def _record(
    connection: sa.Connection,
    target: str,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    *,
    now: datetime,
) -> None:
    actions = sa.table(
        "operator_actions",
        sa.column("at", sa.DateTime(timezone=True)),
        *(sa.column(name, sa.String()) for name in ("who", "action", "target", "reason")),
        sa.column("before", sa.JSON()),
        sa.column("after", sa.JSON()),
    )
    connection.execute(
        sa.insert(actions).values(
            at=now,
            who="kplus-cancel db upgrade",
            action="set_right",
            target=target[:128],
            reason=_REASON,
            before=_plain(before),
            after=_plain(after),
        )
    )


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: json.loads(json.dumps(value, default=str)) for name, value in values.items()}


def _said(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {before[name]!r} to {after[name]!r}" for name in after)
