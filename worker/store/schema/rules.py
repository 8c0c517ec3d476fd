"""
What a row must be that anybody may write: times that exist, counts with room, texts to be sent.

A producer writes rows by plain SQL, so the database itself refuses what no worker could handle.
PostgreSQL holds these rules as CHECKs, those of the jobs in one function (`soundness`). SQLite
cannot add a CHECK to a table without copying it, so there triggers hold them, and refuse a row with
the words of a CHECK. `domain.bounds` and `domain.wire` say the same in Python.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sqlalchemy import DDL, CheckConstraint, MetaData, event

from worker.domain.bounds import LARGEST_COUNT
from worker.domain.wire import IDENTIFIERS, LONGEST
from worker.store.schema import job_table, soundness


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, in the SQL of each database. A row for which it is NULL keeps it."""

    name: str
    postgresql: str
    sqlite: str


_TIME = (
    "typeof({0}) IN ('text', 'null') AND {0} >= '0001'"
    " AND {0} GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]"
    " [0-9][0-9]:[0-9][0-9]:[0-9][0-9]*'"
    " AND coalesce(datetime(substr({0}, 1, 19), '+0 days'), '') = substr({0}, 1, 19)"
    " AND (length({0}) = 19 OR (length({0}) BETWEEN 21 AND 26"
    " AND substr({0}, 20, 1) = '.' AND substr({0}, 21) NOT GLOB '*[^0-9]*'))"
)
"""
UTC as we write it: text that is compared as text must have one form.

`+0 days` lets SQLite reckon: the 30th of February is then the 2nd of March.
"""


def _times(*columns: str) -> Rule:
    last = "BETWEEN '0001-01-01 00:00:00+00' AND '9999-12-31 23:59:59.999999+00'"
    return Rule(
        "times_exist",
        " AND ".join(f"{column} {last}" for column in columns),
        " AND ".join(_TIME.format(f"NEW.{column}") for column in columns),
    )


def _counts(*columns: str) -> Rule:
    room = f"BETWEEN 0 AND {LARGEST_COUNT}"
    return Rule(
        "counts_have_room",
        " AND ".join(f"{column} {room}" for column in columns),
        " AND ".join(
            f"typeof(NEW.{column}) = 'integer' AND NEW.{column} {room}" for column in columns
        ),
    )


def _sendable() -> Rule:
    """Return the rule of what is sent to the bank; a final job is sent no more."""
    postgresql = [
        *(f"{name} COLLATE \"C\" ~ '^[!-~]+$'" for name in IDENTIFIERS),
        "reference1 COLLATE \"C\" ~ '[^ ]'",
        r"""reference1 COLLATE "C" !~ '[\u0001-\u001f\u007f]'""",
    ]
    control = "'*[' || char(1) || '-' || char(31) || char(127) || ']*'"
    sqlite = [
        *(_text_in_sqlite(name) for name in LONGEST),
        *(f"NEW.{name} NOT GLOB '*[^!-~]*'" for name in IDENTIFIERS),
        "trim(NEW.reference1, ' ') <> ''",
        f"NEW.reference1 NOT GLOB {control}",
    ]
    return Rule(
        "open_can_be_sent",
        f"finished_at IS NOT NULL OR ({' AND '.join(postgresql)})",
        f"NEW.finished_at IS NOT NULL OR ({' AND '.join(sqlite)})",
    )


def _text_in_sqlite(name: str) -> str:
    """Return the condition of being text of a length, which PostgreSQL has in the column's type."""
    length = f"length(NEW.{name}) BETWEEN 1 AND {LONGEST[name]}"
    return f"typeof(NEW.{name}) = 'text' AND instr(NEW.{name}, char(0)) = 0 AND {length}"


RULES: Mapping[str, tuple[Rule, ...]] = MappingProxyType(
    {
        "cancel_jobs": (
            _times(
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
            _counts("attempts", "conversations", "ends"),
            _sendable(),
        ),
        "rejected_messages": (_times("first_at", "last_at"), _counts("deliveries")),
    }
)
"""The rules of each table that a producer may write."""


def sqlite_triggers(table: str) -> Iterator[str]:
    """Yield the statements that make the triggers of a table's rules."""
    cases = " ".join(
        f"WHEN NOT ({rule.sqlite})"
        f" THEN RAISE(ABORT, 'CHECK constraint failed: ck_{table}_{rule.name}')"
        for rule in RULES[table]
    )
    for change in ("insert", "update"):
        name = f"ck_{table}_{change}"
        yield (
            f"CREATE TRIGGER {name} BEFORE {change.upper()} ON {table}"
            f" BEGIN SELECT CASE {cases} END; END"
        )


def hold(metadata: MetaData) -> None:
    """Let each database hold the rules of these tables."""
    job_rules = {rule.name: rule.postgresql for rule in RULES["cancel_jobs"]}
    soundness.hold(metadata.tables["cancel_jobs"], {**job_table.RULES, **job_rules})
    for rule in RULES["rejected_messages"]:
        only = {"only": "postgresql"}
        check = CheckConstraint(rule.postgresql, name=rule.name, info=only)
        metadata.tables["rejected_messages"].append_constraint(check.ddl_if(dialect="postgresql"))
    for table in RULES:
        for statement in sqlite_triggers(table):
            made = DDL(statement.replace("%", "%%"))  # type: ignore[no-untyped-call]
            event.listen(metadata.tables[table], "after_create", made.execute_if(dialect="sqlite"))
