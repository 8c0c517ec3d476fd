"""The TLS identity of a partner: its client certificate, its key, and its authorities."""

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
)


def needs_tls(partner: Partner) -> bool:
    """Say whether any of the partner's URLs asks for TLS."""
    urls = (partner.bank_url, partner.inquiry_url or "")
    return any(url.startswith("https:") for url in urls)


def partner_context(partner: Partner) -> ssl.SSLContext:
    """Return the TLS context of a partner. Raises a `BankError` that names the file to check."""
    try:
        context = context_for_bundle(partner.ca_bundle)
    except TlsFilesUnusable as error:
        raise bank_error("bad_tls_files", str(error)) from error
    if partner.client_cert is not None:
        _load_identity(context, partner)
    return context


def has_tls_files(partner: Partner) -> bool:
    """Say whether the partner has TLS files of its own."""
    return partner.ca_bundle is not None or partner.client_cert is not None


def _load_identity(context: ssl.SSLContext, partner: Partner) -> None:
    # httpx's `cert=` is not used: together with `verify=` it silently drops the certificate.
    try:
        context.load_cert_chain(
            str(partner.client_cert),
            None if partner.client_key is None else str(partner.client_key),
            password=_password(partner),  # in no variable: a traceback could show it
        )
    except SettingsError as error:
        raise bank_error("bad_tls_files", str(error)) from error
    except (OSError, ValueError) as error:  # ValueError: a password longer than OpenSSL takes
        raise bank_error("bad_tls_files", _complaint(partner, error)) from error


def _password(partner: Partner) -> str:
    """Return the key's password, or ""; with None OpenSSL would ask on the terminal."""
    if partner.client_key_password_file is None:
        return ""
    return read_secret(partner.client_key_password_file, "client_key_password_file")


def _complaint(partner: Partner, error: Exception) -> str:
    """Return what is wrong and what to do; OpenSSL says "PEM lib" for every fault."""
    if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
        return f"client_key {partner.client_key} does not fit client_cert {partner.client_cert}"
    if isinstance(error, ssl.SSLError) and _holds_a_certificate(partner.client_cert):
        key, password = partner.client_key or partner.client_cert, partner.client_key_password_file
        if not _is_encrypted(key):
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


def _is_encrypted(key: Path | None) -> bool:
    """Say whether a PEM file holds an encrypted key (RFC 7468, section 11; RFC 1421)."""
    return key is not None and b"ENCRYPTED" in key.read_bytes()
