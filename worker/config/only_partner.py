"""The one partner of a small installation, from the settings alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr, ValidationError

from worker.config.partners_file import read_secret
from worker.config.sources import PREFIX, named_errors
from worker.domain.partners import Partner, Roster
from worker.errors import SettingsError


def only_partner(
    partner_id: str | None,
    secret: SecretStr | None,
    secret_file: Path | None,
    rest: Mapping[str, Any],
) -> Roster:
    """
    Return the roster of that partner, an empty one if it is not set. Raises `SettingsError`.

    The file of its secret is read now; `rest` are its other fields.
    """
    name = "KPLUS_PARTNER_SECRET"
    if secret_file is not None:
        name = "KPLUS_PARTNER_SECRET_FILE"
        secret = SecretStr(read_secret(secret_file, name))
    if partner_id is None or secret is None:
        return Roster({})
    try:
        partner = Partner(partner_id=partner_id, secret=secret, **rest)
    except ValidationError as error:
        # Without the colon: a text after it would count as a secret and be redacted.
        raise SettingsError(named_errors(error).replace(f"{PREFIX}SECRET:", name)) from None
    return Roster({partner.partner_id: partner})
