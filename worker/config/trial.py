"""The settings, tried by the code that will use them: what cannot be used ends the start."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from worker.broker.address import broker_settings, files_of
from worker.config.settings import Settings
from worker.errors import SettingsError
from worker.net.address import check_address
from worker.net.tls import TlsFilesUnusable, context_for_bundle
from worker.private import private_folder


def try_settings(settings: Settings) -> None:
    """
    Raise `SettingsError` if a part of the worker could not use a setting, one error a line.

    Nothing is connected to. Commands that only read do without: these libraries are slow to load.
    """
    if complaints := list(_complaints(settings)):
        raise SettingsError("\n".join(complaints))


def _complaints(settings: Settings) -> Iterator[str]:
    for name, url in _addresses(settings):
        try:
            check_address(url)
        except ValueError as error:
            yield f"{name} {error}"
    if settings.broker_url is not None:
        yield from _of_broker(settings.broker_url.get_secret_value())
    if settings.broker_url is None or settings.database_url is None:
        yield from _of_home(settings.home)
    bundles = {
        "KPLUS_PROXY_CA_BUNDLE": settings.proxy_ca_bundle,
        "KPLUS_WEBHOOK_CA_BUNDLE": settings.webhook.ca_bundle if settings.webhook else None,
    }
    for name, bundle in bundles.items():
        if bundle is not None:
            try:
                context_for_bundle(bundle)
            except TlsFilesUnusable as error:
                yield f"{name} cannot be used: {error}"


def _addresses(settings: Settings) -> Iterator[tuple[str, str]]:
    yield "KPLUS_BANK_URL", settings.bank_url
    if settings.inquiry_url is not None:
        yield "KPLUS_INQUIRY_URL", settings.inquiry_url
    if settings.webhook is not None:
        yield "KPLUS_WEBHOOK_URL", settings.webhook.url
    if settings.partners_file is None:
        return
    for partner in settings.roster().values():
        where = f"KPLUS_PARTNERS_FILE: {settings.partners_file}, [partners.{partner.partner_id}]"
        yield f"{where}: bank_url", partner.bank_url
        if partner.inquiry_url is not None:
            yield f"{where}: inquiry_url", partner.inquiry_url


def _of_broker(url: str) -> Iterator[str]:
    try:
        broker_settings(url, lease=timedelta(minutes=1), timeout=timedelta(seconds=5))
    except SettingsError as error:
        yield str(error)
        return
    for name, path in files_of(url):
        try:
            with path.open("rb"):
                pass
        except (OSError, ValueError) as error:
            yield f"KPLUS_BROKER_URL: the file of {name} cannot be read: {_reason(error)}"


def _of_home(home: Path) -> Iterator[str]:
    try:
        private_folder(home)
    except (OSError, ValueError) as error:
        yield f"KPLUS_HOME: the folder {home} cannot be made: {_reason(error)}"


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
