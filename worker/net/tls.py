"""TLS contexts: which authorities are trusted."""

import ssl
from pathlib import Path

import httpx


class TlsFilesUnusable(Exception):
    """A CA bundle, a certificate or a key cannot be used; the message names the file."""


def context_without_authorities() -> ssl.SSLContext:
    """Return a context that trusts no authority: it is cheap, and no peer is accepted."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def default_context() -> ssl.SSLContext:
    """Return a context that trusts the public authorities; the environment is ignored."""
    return _modern(httpx.create_ssl_context(trust_env=False))


def context_for_bundle(bundle: Path | None) -> ssl.SSLContext:
    """
    Return a context that trusts only the authorities of a file, or the public ones if None.

    Raises `TlsFilesUnusable`.
    """
    if bundle is None:
        return default_context()
    try:
        return _modern(ssl.create_default_context(cafile=str(bundle)))
    except (OSError, ValueError) as error:
        raise TlsFilesUnusable(f"ca_bundle {bundle}: {error}") from error


def _modern(context: ssl.SSLContext) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
