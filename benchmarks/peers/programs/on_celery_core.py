"""The job as a plain Celery task with SQLAlchemy Core: expressions, one transaction a step."""

import uuid

from sqlalchemy import (
    Column,
    DateTime,
    Engine,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    func,
    insert,
    text,
    update,
)

from benchmarks.peers.job import with_celery
from benchmarks.peers.job.conversation import Answer, Request
from benchmarks.peers.job.given import Given
from benchmarks.peers.job.in_threads import ask, bank_client

metadata = MetaData()
jobs = Table(
    "cancel_jobs",
    metadata,
    Column("partner_txn_uid", String(64), primary_key=True),
    Column("partner_id", String(64)),
    Column("token_id", String(64)),
    Column("reference1", String(64)),
    Column("state", String(16)),
    Column("attempts", Integer),
    Column("lease_id", String(36)),
    Column("lease_ends_at", DateTime(timezone=True)),
    Column("status_code", String(64)),
    Column("token_status", String(64)),
    Column("updated_at", DateTime(timezone=True)),
    Column("finished_at", DateTime(timezone=True)),
)
attempts = Table(
    "cancel_attempts",
    metadata,
    Column("partner_txn_uid", String(64), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("started_at", DateTime(timezone=True)),
    Column("finished_at", DateTime(timezone=True)),
    Column("http_status", Integer),
    Column("status_code", String(64)),
)
tokens = Table(
    "token_statuses",
    metadata,
    Column("partner_txn_uid", String(64), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("token_id", String(64)),
    Column("status", String(64)),
    Column("observed_at", DateTime(timezone=True)),
)
NINETY_SECONDS = text("interval '90 seconds'")


def claim(engine: Engine, uid: str, lease_id: str) -> Request | None:
    """Return the order, or None if somebody has claimed it."""
    claiming = (
        update(jobs)
        .where(jobs.c.partner_txn_uid == uid, jobs.c.state == "pending")
        .values(
            state="in_flight",
            attempts=jobs.c.attempts + 1,
            lease_id=lease_id,
            lease_ends_at=func.now() + NINETY_SECONDS,
            updated_at=func.now(),
        )
        .returning(jobs.c.partner_id, jobs.c.token_id, jobs.c.reference1)
    )
    with engine.begin() as connection:
        row = connection.execute(claiming).first()
    return None if row is None else Request(uid, *row)


def settle(engine: Engine, uid: str, lease_id: str, answer: Answer) -> None:
    """Store the outcome, the attempt and the token in one transaction."""
    settling = (
        update(jobs)
        .where(
            jobs.c.partner_txn_uid == uid,
            jobs.c.state == "in_flight",
            jobs.c.lease_id == lease_id,
        )
        .values(
            state="succeeded",
            status_code=answer.status_code,
            token_status=answer.token_status,
            lease_id=None,
            lease_ends_at=None,
            updated_at=func.now(),
            finished_at=func.now(),
        )
        .returning(jobs.c.attempts)
    )
    with engine.begin() as connection:
        number = connection.execute(settling).scalar()
        if number is None:
            return
        connection.execute(
            insert(attempts).values(
                partner_txn_uid=uid,
                number=number,
                started_at=answer.started_at,
                finished_at=func.now(),
                http_status=answer.http_status,
                status_code=answer.status_code,
            )
        )
        connection.execute(
            insert(tokens).values(
                partner_txn_uid=uid,
                number=number,
                position=0,
                token_id=answer.token_id,
                status=answer.token_status,
                observed_at=func.now(),
            )
        )


def main() -> None:
    """Work until SIGTERM."""
    given = Given.read()
    engine = create_engine(given.sqlalchemy_url, pool_size=given.concurrency)
    client = bank_client(given)

    def do(uid: str) -> None:
        lease_id = str(uuid.uuid4())
        request = claim(engine, uid, lease_id)
        if request is not None:
            settle(engine, uid, lease_id, ask(client, given.bank_url, request))

    with_celery.serve(given, do)


if __name__ == "__main__":
    main()
