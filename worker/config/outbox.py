"""The settings of the outbox: how outcomes are sent to the order system."""

from datetime import timedelta
from pathlib import Path
from typing import Self

from pydantic import SecretStr, model_validator

from worker.config.destinations import Message, Webhook
from worker.config.proxies import ProxySettings
from worker.config.sources import setting
from worker.domain.destinations import Destination
from worker.domain.signatures import HOW_TO, PREFIX

MIN_HIDDEN_PATH = 16
"""A shorter path of the webhook is a word such as `outcomes`, and no secret."""


class OutcomeSettings(ProxySettings):
    """A part of `config.Settings`. If none is set, no outcome is sent."""

    webhook_url: SecretStr | None = setting(None, "where the outcomes of jobs are posted")
    webhook_secret: SecretStr | None = setting(None, f"signs what is posted: {HOW_TO}")
    webhook_previous_secret: SecretStr | None = setting(
        None, "the previous secret: signs as well, until the receivers know the new one"
    )
    webhook_ca_bundle: Path | None = setting(
        None, "PEM, the authorities that the receiver is checked against; unset: the public ones"
    )
    webhook_proxy_url: SecretStr | None = setting(
        None, "in place of `KPLUS_PROXY_URL` on the way to the receiver; `direct`: none"
    )
    webhook_deadline_seconds: float = setting(10, "one post as a whole", ge=0.001, le=60)
    outcome_task: str | None = setting(None, "the Celery task that is sent for each outcome")
    outcome_queue: str | None = setting(None, "the queue that it is sent to, on our broker")
    outcome_max_attempts: int = setting(
        100,
        "after so many tries an outcome is sent no more, until an operator resends it",
        ge=1,
        le=10_000,
    )
    outcome_max_age_seconds: float = setting(
        3 * 86400, "the same so long after its first try", ge=0.001, le=366 * 86400
    )

    @model_validator(mode="after")
    def _destinations_are_valid(self) -> Self:
        _ = self.destinations
        return self

    @property
    def webhook(self) -> Webhook | None:
        """The webhook that outcomes are posted to, or None."""
        return Webhook.read(
            self.webhook_url,
            secret=self.webhook_secret,
            previous=self.webhook_previous_secret,
            ca_bundle=self.webhook_ca_bundle,
            proxy=self.webhook_proxy_url,
            way_out=self.proxy_or,
            deadline=timedelta(seconds=self.webhook_deadline_seconds),
        )

    @property
    def message(self) -> Message | None:
        """The Celery task that is sent for each outcome, or None."""
        return Message.read(self.outcome_task, self.outcome_queue)

    @property
    def destinations(self) -> list[Destination]:
        """The destinations that are configured."""
        known = {Destination.WEBHOOK: self.webhook, Destination.MESSAGE: self.message}
        return [destination for destination, value in known.items() if value is not None]

    def outcome_secrets(self) -> list[str]:
        """Return what must not be logged; the URL's path may be as good as a password."""
        secrets = (self.webhook_secret, self.webhook_previous_secret)
        given = [each.get_secret_value() for each in secrets if each is not None]
        shown = [*given, *(each.removeprefix(PREFIX) for each in given)]
        if self.webhook_url is None:
            return shown
        url = self.webhook_url.get_secret_value()
        target = url.partition("://")[2].partition("/")[2]
        return [*shown, url, *([target] if len(target) >= MIN_HIDDEN_PATH else [])]
