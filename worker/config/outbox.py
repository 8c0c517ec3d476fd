"""The settings of the way back: by what the order system is told of outcomes."""

from datetime import timedelta
from pathlib import Path
from typing import Self

from pydantic import SecretStr, model_validator
from pydantic_settings import BaseSettings

from worker.config.destinations import Message, Webhook
from worker.config.sources import setting
from worker.domain.destinations import Destination
from worker.domain.signatures import HOW_TO


class OutcomeSettings(BaseSettings):
    """They stand beside all others in `config.Settings`. With none, nobody is told."""

    webhook_url: SecretStr | None = setting(None, "where the outcomes of jobs are posted")
    webhook_secret: SecretStr | None = setting(None, f"signs what is posted: {HOW_TO}")
    webhook_previous_secret: SecretStr | None = setting(
        None, "the secret before it, while receivers learn the new one: signs as well"
    )
    webhook_ca_bundle: Path | None = setting(
        None, "PEM, the authorities that prove the receiver; unset: the public ones"
    )
    webhook_deadline_seconds: float = setting(10, "one post as a whole", gt=0, le=60)
    outcome_task: str | None = setting(None, "the Celery task that is sent for each outcome")
    outcome_queue: str | None = setting(None, "the queue that it is sent to, on our broker")
    outcome_max_attempts: int = setting(
        100, "after so many tries an outcome is told no more, until it is resent", ge=1, le=10_000
    )
    outcome_max_age_seconds: float = setting(
        3 * 86400, "the same so long after its first try", gt=0, le=366 * 86400
    )

    @model_validator(mode="after")
    def _outcomes_can_be_told(self) -> Self:
        _ = self.destinations
        return self

    @property
    def webhook(self) -> Webhook | None:
        """Where outcomes are posted; None where nowhere."""
        return Webhook.read(
            self.webhook_url,
            secret=self.webhook_secret,
            previous=self.webhook_previous_secret,
            ca_bundle=self.webhook_ca_bundle,
            deadline=timedelta(seconds=self.webhook_deadline_seconds),
        )

    @property
    def message(self) -> Message | None:
        """The message that tells of outcomes; None where none does."""
        return Message.read(self.outcome_task, self.outcome_queue)

    @property
    def destinations(self) -> list[Destination]:
        """The ways in which outcomes are told."""
        ways = {Destination.WEBHOOK: self.webhook, Destination.MESSAGE: self.message}
        return [name for name, way in ways.items() if way is not None]

    def outcome_secrets(self) -> list[str]:
        """Return what no log may show."""
        return [*self.webhook.hidden()] if self.webhook else []
