"""Who we are to the bank: a partner's client certificate, its key, and whom it trusts."""

import ssl
from pathlib import Path

from worker.bank.faults import bank_error
from worker.config.partners_file import read_secret
from worker.domain.partners import Partner
from worker.errors import SettingsError
from worker.net.tls import (
    TlsFilesUnusable,
    context_for_bundle,
    context_without_authorities,
    default_context,
)
from worker.telemetry.redaction import protect


def needs_tls(partner: Partner) -> bool:
    """Say whether any of the partner's URLs asks for TLS."""
    urls = (partner.bank_url, partner.inquiry_url or "")
    return any(url.startswith("https:") for url in urls)


def partner_context(partner: Partner) -> ssl.SSLContext:
    """Return the context of a partner with TLS files; a fault names the file to look at."""
    try:
        context = (
            default_context()
            if partner.ca_bundle is None
            else context_for_bundle(partner.ca_bundle)
        )
    except TlsFilesUnusable as error:
        raise bank_error("bad_tls_files", str(error)) from error
    if partner.client_cert is not None:
        _load_identity(context, partner)
    return context


def has_tls_files(partner: Partner) -> bool:
    """Say whether the partner's TLS differs from the default."""
    return partner.ca_bundle is not None or partner.client_cert is not None


def _load_identity(context: ssl.SSLContext, partner: Partner) -> None:
    # httpx's own `cert=` is not used: beside `verify=` it drops the certificate in silence.
    try:
        context.load_cert_chain(
            str(partner.client_cert),
            None if partner.client_key is None else str(partner.client_key),
            password=_password(partner),  # in no variable, which a traceback could show
        )
    except SettingsError as error:
        raise bank_error("bad_tls_files", str(error)) from error
    except (OSError, ValueError) as error:  # ValueError: a password longer than OpenSSL takes
        raise bank_error("bad_tls_files", _complaint(partner, error)) from error


def _password(partner: Partner) -> str:
    """Return the key's password; "" and not None, for which OpenSSL asks on the terminal."""
    if partner.client_key_password_file is None:
        return ""
    password = read_secret(partner.client_key_password_file, "client_key_password_file")
    protect([password])
    return password


def _complaint(partner: Partner, error: Exception) -> str:
    """Return what is wrong with an identity and what to do: OpenSSL says "PEM lib" to it all."""
    if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
        return f"client_key {partner.client_key} does not fit client_cert {partner.client_cert}"
    if isinstance(error, ssl.SSLError) and _holds_a_certificate(partner.client_cert):
        key, password = partner.client_key or partner.client_cert, partner.client_key_password_file
        if not _is_locked(key):
            return f"client_key {key} holds no key that can be used"
        if password is None:
            return f"client_key {key} is locked: set client_key_password_file"
        return f"client_key_password_file {password} does not open client_key {key}"
    return f"client_cert {partner.client_cert}, client_key {partner.client_key}: {error}"


def _holds_a_certificate(path: Path | None) -> bool:
    try:
        context_without_authorities().load_verify_locations(path)
    except OSError:
        return False
    return True


def _is_locked(key: Path | None) -> bool:
    """Say whether a PEM file holds a key under a password (RFC 7468, section 11; RFC 1421)."""
    return key is not None and b"ENCRYPTED" in key.read_bytes()
