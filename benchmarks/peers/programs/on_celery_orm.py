"""The job as a plain Celery task with SQLAlchemy's ORM: mapped classes, one session a step."""

import uuid
from datetime import datetime

from sqlalchemy import DateTime, ForeignKey, create_engine, func, text, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from benchmarks.peers.job import with_celery
from benchmarks.peers.job.conversation import Answer, Request
from benchmarks.peers.job.given import Given
from benchmarks.peers.job.in_threads import ask, bank_client

NINETY_SECONDS = text("interval '90 seconds'")
Sessions = sessionmaker[Session]


class Base(DeclarativeBase):
    """What the mapped classes share."""

    type_annotation_map = {datetime: DateTime(timezone=True)}  # noqa: RUF012 -- as its documents have it


class Job(Base):
    """An order, and what came of it."""

    __tablename__ = "cancel_jobs"
    partner_txn_uid: Mapped[str] = mapped_column(primary_key=True)
    partner_id: Mapped[str]
    token_id: Mapped[str]
    reference1: Mapped[str]
    state: Mapped[str]
    attempts: Mapped[int]
    lease_id: Mapped[str | None]
    lease_ends_at: Mapped[datetime | None]
    status_code: Mapped[str | None]
    token_status: Mapped[str | None]
    updated_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]


class Attempt(Base):
    """One conversation with the bank."""

    __tablename__ = "cancel_attempts"
    partner_txn_uid: Mapped[str] = mapped_column(ForeignKey(Job.partner_txn_uid), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime]
    http_status: Mapped[int]
    status_code: Mapped[str]


class Token(Base):
    """What the bank said of a token."""

    __tablename__ = "token_statuses"
    partner_txn_uid: Mapped[str] = mapped_column(ForeignKey(Job.partner_txn_uid), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    token_id: Mapped[str]
    status: Mapped[str]
    observed_at: Mapped[datetime]


def claim(sessions: Sessions, uid: str, lease_id: str) -> Request | None:
    """Return the order, or None if somebody has claimed it."""
    claiming = (
        update(Job)
        .where(Job.partner_txn_uid == uid, Job.state == "pending")
        .values(
            state="in_flight",
            attempts=Job.attempts + 1,
            lease_id=lease_id,
            lease_ends_at=func.now() + NINETY_SECONDS,
            updated_at=func.now(),
        )
        .returning(Job)
        .execution_options(synchronize_session=False)
    )
    with sessions.begin() as session:
        job = session.scalars(claiming).one_or_none()
        return None if job is None else Request(uid, job.partner_id, job.token_id, job.reference1)


def settle(sessions: Sessions, uid: str, lease_id: str, answer: Answer) -> None:
    """Store the outcome, the attempt and the token in one transaction."""
    with sessions.begin() as session:
        job = session.get(Job, uid, with_for_update=True)
        if job is None or job.state != "in_flight" or job.lease_id != lease_id:
            return
        job.state = "succeeded"
        job.status_code = answer.status_code
        job.token_status = answer.token_status
        job.lease_id = job.lease_ends_at = None
        job.updated_at = job.finished_at = func.now()
        session.add(
            Attempt(
                partner_txn_uid=uid,
                number=job.attempts,
                started_at=answer.started_at,
                finished_at=func.now(),
                http_status=answer.http_status,
                status_code=answer.status_code,
            )
        )
        session.add(
            Token(
                partner_txn_uid=uid,
                number=job.attempts,
                position=0,
                token_id=answer.token_id,
                status=answer.token_status,
                observed_at=func.now(),
            )
        )


def main() -> None:
    """Work until SIGTERM."""
    given = Given.read()
    sessions = sessionmaker(create_engine(given.sqlalchemy_url, pool_size=given.concurrency))
    client = bank_client(given)

    def do(uid: str) -> None:
        lease_id = str(uuid.uuid4())
        request = claim(sessions, uid, lease_id)
        if request is not None:
            settle(sessions, uid, lease_id, ask(client, given.bank_url, request))

    with_celery.serve(given, do)


if __name__ == "__main__":
    main()
