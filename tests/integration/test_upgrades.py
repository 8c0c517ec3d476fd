"""Upgrades under way: rows of every state go down and up, and the version before works on."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, Engine, inspect, text

from tests.integration.everything import EVERYTHING, filled, held, known_at, put, rewrite
from tests.integration.stock import Clock
from tests.servers.databases import MakeDatabase
from tests.servers.schema import VERSION_TABLES, downgrade, migrate
from tests.servers.workers import PARTNER_ID
from worker.domain.states import FINAL
from worker.jobs.attempt import attempt
from worker.jobs.context import AttemptContext
from worker.jobs.sweep import SweepContext, sweep
from worker.store import Store, open_database
from worker.store.schema.migrate import revisions
from worker.store.schema.rules import RULES
from worker.store.schema.tables import metadata

REVISIONS = revisions()
EARLIER = REVISIONS[:-1]
Columns = dict[str, set[str]]


@contextmanager
def writing(url: str) -> Iterator[Connection]:
    database = open_database(url)
    with database.engine.begin() as connection:
        yield connection
    database.close()


def holding(url: str) -> dict[str, list[dict[str, object]]]:
    with writing(url) as connection:
        return held(connection)


def everywhere() -> Columns:
    return {name: {column.name for column in t.columns} for name, t in metadata.tables.items()}


def test_the_rows_of_these_tests_fill_every_column_of_every_table() -> None:
    """A new column, or a new table, has to be put into `everything`."""
    given = filled()
    empty = {
        f"{table.name}.{column.name}"
        for table in metadata.tables.values()
        for column in table.columns
        if column.name not in given.get(table.name, set())
        # Numbered by the database itself.
        and not (column.primary_key and column.autoincrement is True)
    }
    assert empty == set()


@pytest.mark.parametrize("revision", EARLIER)
def test_a_step_back_and_up_again_loses_only_what_the_older_schema_cannot_hold(
    revision: str, database: str
) -> None:
    with writing(database) as connection:
        put(connection, everywhere())
    before = holding(database)

    downgrade(database, revision)

    with writing(database) as connection:
        known = known_at(connection)
        kept = held(connection)
    assert kept == projected(before, known)

    migrate(database)

    after = holding(database)
    assert projected(after, known) == kept
    gone = {
        (name, column)
        for name, rows in after.items()
        for row in rows
        for column, value in row.items()
        # A count begins anew, at nought, and a mark is not set.
        if column not in known.get(name, set()) and value not in (None, 0, False)
    }
    assert gone == set()
    assert [name for name in after if name not in known and after[name]] == []


def projected(
    rows: dict[str, list[dict[str, object]]], known: Columns
) -> dict[str, list[dict[str, object]]]:
    return {
        name: [{key: row[key] for key in row if key in known[name]} for row in rows[name]]
        for name in rows
        if name in known
    }


@pytest.fixture
def columns_of(sqlite_columns: dict[str, Columns], revision: str) -> Columns:
    """What code of a revision can know."""
    return sqlite_columns[revision]


@pytest.fixture(scope="module")
def sqlite_columns(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Columns]:
    url = f"sqlite:///{tmp_path_factory.mktemp('steps') / 'steps.db'}"
    found = {}
    for revision in REVISIONS:
        migrate(url, revision)
        with writing(url) as connection:
            found[revision] = known_at(connection)
    return found


@pytest.mark.parametrize("revision", EARLIER)
def test_what_an_older_version_writes_is_taken_by_this_schema(
    engine: Engine, columns_of: Columns
) -> None:
    """An INSERT and an UPDATE that name only its own columns pass every CHECK and trigger."""
    with engine.begin() as connection:
        put(connection, columns_of)
        rewrite(connection, columns_of)
        counts = {name: len(rows) for name, rows in held(connection).items()}
    assert counts == {
        name: len(EVERYTHING[name]) if name in columns_of else 0 for name in EVERYTHING
    }


@pytest.mark.parametrize("revision", EARLIER)
def test_jobs_that_an_older_version_left_come_to_their_right_end(
    engine: Engine, columns_of: Columns, context: AttemptContext, store: Store, clock: Clock
) -> None:
    """Whatever state it left them in, and with nothing in the columns it did not know."""
    jobs = [{**row, "partner_id": PARTNER_ID} for row in EVERYTHING["cancel_jobs"]]
    with engine.begin() as connection:
        put(connection, columns_of, {"cancel_jobs": jobs})
    ended = {job["partner_txn_uid"]: job["outcome"] for job in jobs if job["state"] in FINAL}
    moving = [str(job["partner_txn_uid"]) for job in jobs if job["state"] not in FINAL]

    def heed(uids: list[str]) -> None:
        for uid in uids:
            attempt(uid, context)

    for _ in range(4):
        clock.forward(10)
        sweep(
            SweepContext(
                store=store,
                policy=context.policy,
                high_water=100,
                hint=heed,
                random=context.random,
                roster=context.roster,
            )
        )
    outcomes = {uid: file.job["outcome"] for uid in ended if (file := store.reports.file(uid))}
    assert outcomes == ended
    files = {uid: store.reports.file(uid) for uid in moving}
    found = {uid: file.job["outcome"] for uid, file in files.items() if file}
    # That it is payable after its expiry is what the first schema could not hold.
    lapsed = "still_payable_at" not in columns_of["cancel_jobs"]
    assert found.pop("PAYABLE") == ("lapsed" if lapsed else "cancelled")
    assert set(found.values()) == {"cancelled"}


# What may be stricter all the same, with the reason why the version before does not notice.
STRICTER = {
    ("kplus_0004", "trigger kplus_skip_pruned"): "there is no tombstone before an operator prunes,"
    " and then every process runs this version (docs/how-to/upkeep.md)",
    ("kplus_0014", "unique uq_rejected_messages_place"): "over rows that have a place, and the"
    " version before gives none",
}
_NO_ROW_OF_OURS = "no version writes such a row: a time that does not exist, a count of a thousand"
_NO_ROW_OF_OURS += " millions, an open job that cannot be sent; those that plain SQL wrote are set"
_NO_ROW_OF_OURS += " right by the migration (tests/integration/test_set_right.py)"
STRICTER_BY_KIND = {
    "postgresql": {
        **{
            ("kplus_0010", f"check ck_{table}_{rule.name}"): _NO_ROW_OF_OURS
            for table, rules in RULES.items()
            for rule in rules
        },
        (
            "kplus_0015",
            "check ck_cancel_jobs_sound",
        ): "it holds the rules of the CHECKs in whose"
        " place it stands, and no other (tests/integration/test_tables.py)",
    },
    "sqlite": {
        ("kplus_0010", f"trigger ck_{table}_{change}"): _NO_ROW_OF_OURS
        for table in RULES
        for change in ("insert", "update")
    },
}


def test_every_migration_only_adds(make_database: MakeDatabase, database_kind: str) -> None:
    """
    A new column may be left out by an INSERT; nothing the version before writes is tightened.

    So a worker of the version before goes on while, and after, the migration is run.
    """
    url = make_database()
    shapes = {REVISIONS[-1]: shape(url)}
    for revision in reversed(EARLIER):
        downgrade(url, revision)
        shapes[revision] = shape(url)
    found = {
        (new, complaint.partition(":")[0] if complaint.startswith("check") else complaint)
        for old, new in zip(EARLIER, REVISIONS[1:], strict=True)
        for complaint in complaints(shapes[old], shapes[new])
    }
    assert found == {*STRICTER, *STRICTER_BY_KIND[database_kind]}


Shape = dict[str, dict[str, object]]


def shape(url: str) -> Shape:
    """Return what each table asks of a writer: its columns, and its rules by name."""
    with writing(url) as connection:
        looked = inspect(connection)
        names = set(looked.get_table_names()) - VERSION_TABLES
        return {name: _shape(connection, name) for name in names}


def _shape(connection: Connection, name: str) -> dict[str, object]:
    looked = inspect(connection)
    columns = {
        f"column {column['name']}": (
            str(column["type"]),
            bool(column["nullable"]),
            column["default"] is not None or column.get("autoincrement") is True,
        )
        for column in looked.get_columns(name)
    }
    rules = {
        *(
            f"check {check['name']}: {check['sqltext']}"
            for check in looked.get_check_constraints(name)
        ),
        *(f"foreign key {key['name']}" for key in looked.get_foreign_keys(name)),
        *(f"unique {rule['name']}" for rule in looked.get_unique_constraints(name)),
        *(f"unique {index['name']}" for index in looked.get_indexes(name) if index["unique"]),
        *(f"trigger {trigger}" for trigger in _triggers(connection, name)),
    }
    return {**columns, **dict.fromkeys(rules, True), "key": looked.get_pk_constraint(name)}


def _triggers(connection: Connection, table: str) -> set[str]:
    if connection.dialect.name == "postgresql":
        sql = "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgrelid = to_regclass(:it)"
    else:
        sql = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = :it"
    return set(connection.execute(text(sql), {"it": table}).scalars())


def complaints(old: Shape, new: Shape) -> Iterator[str]:
    """Yield what code that was written for the old shape would stumble over in the new one."""
    for name, before in old.items():
        if name not in new:
            yield f"table {name} is gone"
            continue
        after = new[name]
        for part, was in before.items():
            if part.startswith(("column", "key")) and after.get(part) != was:
                yield f"{name}: {part} was {was}, is {after.get(part)}"
        for part in after.keys() - before.keys():
            if not part.startswith("column"):
                yield part
            elif not any(_optional(after[part])):
                yield f"{name}: {part} has to be given"


def _optional(column: object) -> tuple[bool, bool]:
    assert isinstance(column, tuple)
    _, nullable, has_default = column
    return nullable, has_default


@pytest.mark.parametrize(
    ("statement", "complaint"),
    [
        ("ALTER TABLE partners ADD COLUMN x INTEGER NOT NULL DEFAULT 1", None),
        ("ALTER TABLE partners ADD COLUMN x INTEGER", None),
        ("CREATE UNIQUE INDEX x ON partners (reason)", "unique x"),
        ("ALTER TABLE partners DROP COLUMN reason CASCADE", "partners: column reason was"),
        ("ALTER TABLE partners RENAME COLUMN pace TO speed", "partners: column pace was"),
        ("ALTER TABLE partners ALTER COLUMN reason SET NOT NULL", "partners: column reason was"),
        ("ALTER TABLE partners ADD COLUMN x INTEGER NOT NULL", "column x has to be given"),
        ("ALTER TABLE partners ADD CONSTRAINT x CHECK (failures < 9)", "check x"),
        ("ALTER TABLE partners ALTER COLUMN reason TYPE varchar(9)", "partners: column reason was"),
        ("DROP TABLE audits", "table audits is gone"),
    ],
)
@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
def test_a_migration_that_does_more_than_add_is_found(
    statement: str, complaint: str | None, database: str
) -> None:
    before = shape(database)
    with writing(database) as connection:
        connection.exec_driver_sql(statement)
    found = list(complaints(before, shape(database)))
    assert [complaint in each for each in found if complaint] == [True] * bool(complaint)
    assert found == [] or complaint
