"""
The settings: read from the environment, `.env` and secret files; checked once at start.

A mistyped `KPLUS_` name stops the start. No error shows a value.
"""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from worker.config.only_partner import only_partner
from worker.config.outbox import OutcomeSettings
from worker.config.partners_file import load_roster
from worker.config.sources import (
    PREFIX,
    SecretFiles,
    both_set,
    given_names,
    named_errors,
    refuse_unknown,
    setting,
)
from worker.config.sqlite_file import sqlite_url
from worker.config.url_secrets import url_secrets
from worker.config.urls import check_broker_url, check_database_schema, check_database_url
from worker.domain.kplus import RequestDt
from worker.domain.leases import MIN_RANDOM_DIGITS, InquiryUids
from worker.domain.maintenance import Maintenance
from worker.domain.partners import HttpUrl, Roster, UnknownPartner
from worker.domain.validation import UID_PREFIX
from worker.errors import SettingsError
from worker.telemetry.redaction import protect

CANCEL_URL = "https://kbankapi.tech/v1/kplus/payment/cancel-token"
UidPrefix = Annotated[str, Field(pattern=UID_PREFIX)]
SHORTEST = 0.001
"""Seconds: nothing is shorter. Between this and the longest every time can be computed."""
SETTLE_MARGIN = timedelta(seconds=1)
"""The time for a slow commit after the bank's answer."""


class Settings(OutcomeSettings):
    """All settings, frozen. docs/reference/settings.md lists each name with its meaning."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    home: Path = setting(".kplus-cancel", "the folder of the embedded default: database, broker")
    database_url: SecretStr | None = setting(
        None, "any SQLAlchemy URL of PostgreSQL (14 or newer) or SQLite; unset: SQLite in the home"
    )
    database_schema: str | None = setting(
        None,
        "a schema of our own in a shared PostgreSQL database; unset: where `search_path` leads",
    )
    broker_url: SecretStr | None = setting(
        None, "`redis://`, `rediss://`, `sentinel://`, `amqp://`; unset: the embedded broker"
    )
    bank_url: HttpUrl = setting(CANCEL_URL, "the whole URL of the cancel call")
    inquiry_url: HttpUrl | None = setting(None, "the whole URL of inquire-token")
    partner_id: str | None = setting(None, "the one partner of a small installation")
    partner_secret: SecretStr | None = setting(None, "its secret")
    partner_secret_file: Path | None = setting(
        None, "the file of its secret, read again when it changes"
    )
    partners_file: Path | None = setting(None, "TOML, many partners: `[partners.ID]` tables")
    unknown_partner: UnknownPartner = setting(
        UnknownPartner.WARN,
        "an order that names a partner not configured where it is handed in: "
        "`warn` accepts it, `refuse` does not",
    )
    dialect_file: Path | None = setting(
        None, "TOML, more of the bank's codes and statuses, and their meaning"
    )
    request_dt: RequestDt = setting(RequestDt.UNIX, "`unix`, `unix_ms` or `iso8601`")
    deadline_seconds: float = setting(15, "the bank call as a whole", ge=SHORTEST, le=300)
    lease_seconds: float = setting(60, "how long a claim holds a job", ge=SHORTEST, le=3600)
    max_attempts: int = setting(20, "after so many attempts a job ends", ge=1, le=10_000)
    max_age_seconds: float = setting(86400, "after so long a job ends", ge=SHORTEST, le=366 * 86400)
    backoff_base_seconds: float = setting(
        2, "the first wait; half of it is random", ge=SHORTEST, le=3600
    )
    backoff_cap_seconds: float = setting(300, "no wait is longer", ge=SHORTEST, le=86400)
    cooldown_base_seconds: float = setting(
        5, "a partner's first rest after a run of faults; it doubles", ge=SHORTEST, le=3600
    )
    cooldown_cap_seconds: float = setting(300, "no rest is longer", ge=SHORTEST, le=86400)
    max_retry_after_seconds: float = setting(
        3600, "a longer `Retry-After` of the bank is taken for a slip", ge=SHORTEST, le=86400
    )
    inquiry_base_seconds: float = setting(2, "wait before the first inquiry", ge=SHORTEST, le=3600)
    maintenance: str | None = setting(
        None,
        "when the bank is closed, Bangkok's time: `22:00-02:30, 2026-12-05T22:00/2026-12-06T06:00`",
    )
    sweep_seconds: float = setting(1, "pause between two passes of the sweep", ge=SHORTEST, le=60)
    stall_seconds: float | None = setting(
        None,
        "a worker without progress for so long ends itself; unset: three leases, at least 180",
        ge=SHORTEST,
        le=86400,
    )
    rejected_messages: int = setting(
        1000,
        "how many different rejected messages of a reason are kept: the first half, and the newest",
        ge=2,
        le=1_000_000,
    )
    rejected_bytes: int = setting(
        4_000_000,
        "how much of their bodies is kept of each reason; after that the beginning of each",
        ge=0,
        le=1_000_000_000,
    )
    concurrency: int = setting(16, "bank calls at once in one worker process", ge=1, le=1024)
    run_jobs: int = setting(200, "so many jobs may follow one message", ge=1, le=1_000_000)
    run_seconds: float = setting(2, "for so long jobs may follow one message", ge=0, le=60)
    uid_length: int = setting(64, "the longest partnerTxnUid that is accepted", ge=1, le=64)
    inquiry_uid_prefix: UidPrefix = setting(
        InquiryUids().prefix, "how the partnerTxnUid of an inquiry begins; up to 6 characters"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources: arguments, secret files, environment, `.env`."""
        del file_secret_settings
        given = given_names(dotenv_settings)
        refuse_unknown(given, cls.model_fields)
        return (
            init_settings,
            SecretFiles(settings_cls, given),
            env_settings,
            dotenv_settings,
        )

    @model_validator(mode="after")
    def _secrets_are_registered(self) -> Self:
        """Before anything else can fail and show them."""
        urls = (self.database_url, self.broker_url, self.proxy_url, self.webhook_proxy_url)
        for url in (each.get_secret_value() for each in urls if each is not None):
            protect(url_secrets(url))
        if self.partner_secret is not None:
            protect([self.partner_secret.get_secret_value()])
        protect(self.outcome_secrets())
        return self

    @model_validator(mode="after")
    def _times_fit_together(self) -> Self:
        if self.deadline + SETTLE_MARGIN > self.lease:
            message = (
                f"KPLUS_LEASE_SECONDS must be at least KPLUS_DEADLINE_SECONDS plus "
                f"{SETTLE_MARGIN.total_seconds():g}: a lease that ends during a call lets "
                f"a second call start"
            )
            raise ValueError(message)
        if self.stall < 2 * self.lease:
            message = "KPLUS_STALL_SECONDS must be at least twice KPLUS_LEASE_SECONDS"
            raise ValueError(message)
        for kind in ("backoff", "cooldown"):
            if getattr(self, f"{kind}_base_seconds") > getattr(self, f"{kind}_cap_seconds"):
                name = f"{PREFIX}{kind.upper()}"
                message = f"{name}_CAP_SECONDS must be at least {name}_BASE_SECONDS"
                raise ValueError(message)
        return self

    @field_validator("maintenance")
    @classmethod
    def _maintenance_can_be_read(cls, value: str | None) -> str | None:
        Maintenance.read(value or "")
        return value

    @model_validator(mode="after")
    def _partner_is_complete(self) -> Self:
        given = {
            "KPLUS_PARTNER_SECRET": self.partner_secret,
            "KPLUS_PARTNER_SECRET_FILE": self.partner_secret_file,
        }
        names = [name for name, value in given.items() if value is not None]
        if len(names) > 1:
            raise ValueError(both_set(names[0]))
        if names and self.partners_file is not None:
            message = f"KPLUS_PARTNERS_FILE and {names[0]} exclude each other"
            raise ValueError(message)
        if names and self.partner_id is None:
            message = f"{names[0]} is set without KPLUS_PARTNER_ID"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _urls_can_be_used(self) -> Self:
        check_database_url(self.database)
        if self.database_schema is not None:
            check_database_schema(self.database_schema, self.database)
        if self.broker_url is not None:
            check_broker_url(self.broker_url.get_secret_value())
        return self

    @property
    def database(self) -> str:
        """The database's URL, by default that of an SQLite file in `home`."""
        url, file = self.database_url, self.home / "kplus-cancel.db"
        return sqlite_url(file) if url is None else url.get_secret_value()

    @property
    def deadline(self) -> timedelta:
        """The longest time that a whole call of the bank may take."""
        return timedelta(seconds=self.deadline_seconds)

    @property
    def lease(self) -> timedelta:
        """How long a claim holds a job."""
        return timedelta(seconds=self.lease_seconds)

    @property
    def run(self) -> timedelta:
        """After how long a run begins no other job."""
        return timedelta(seconds=self.run_seconds)

    @property
    def stall(self) -> timedelta:
        """How long a worker may be without progress."""
        if self.stall_seconds is None:
            return max(timedelta(minutes=3), 3 * self.lease)
        return timedelta(seconds=self.stall_seconds)

    @property
    def inquiry_uids(self) -> InquiryUids:
        """How the uids of inquiries are made; none is longer than a job's may be."""
        uids = InquiryUids(self.inquiry_uid_prefix)
        return replace(uids, length=min(uids.length, self.uid_length))

    def roster(self) -> Roster:
        """
        Return the configured partners, as their files are now; a producer needs none.

        Raises `SettingsError` if they cannot be used.
        """
        roster = self._partners()
        if roster.inquirers:
            self._check_inquiry_uids()
        return roster

    def _partners(self) -> Roster:
        if self.partners_file is not None:
            return load_roster(
                self.partners_file,
                bank_url=self.bank_url,
                inquiry_url=self.inquiry_url,
                proxied=self.proxied,
            )
        rest = {"bank_url": self.bank_url, "inquiry_url": self.inquiry_url, **self.proxied}
        return only_partner(self.partner_id, self.partner_secret, self.partner_secret_file, rest)

    def _check_inquiry_uids(self) -> None:
        uids = self.inquiry_uids
        if uids.random_digits < MIN_RANDOM_DIGITS:
            message = (
                f"KPLUS_INQUIRY_UID_PREFIX leaves {max(0, uids.random_digits)} characters of "
                f"{uids.length} to chance, and an inquiry needs {MIN_RANDOM_DIGITS}: "
                f"shorten it, or raise KPLUS_UID_LENGTH"
            )
            raise SettingsError(message)


class GivenSettings(Settings):
    """Settings from arguments alone: no environment, no `.env`. For the demo and for tests."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        *_others: PydanticBaseSettingsSource,
        **_named: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read the arguments, and nothing else."""
        del settings_cls
        return (init_settings,)


def load_settings(**overrides: Any) -> Settings:
    """
    Return the checked settings. Raises `SettingsError`, with one error a line.

    `overrides` come from the command line; they win over every other source.
    """
    settings = read_settings(**overrides)
    settings.roster()
    return settings


def read_settings(**overrides: Any) -> Settings:
    """Return the settings without reading the partners' files, which may hang."""
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise SettingsError(named_errors(error)) from None
    except UnicodeDecodeError:
        raise SettingsError(".env cannot be read: it is not UTF-8 text") from None
