"""TLS contexts: whom we trust."""

import ssl
from pathlib import Path

import httpx


class TlsFilesUnusable(Exception):
    """A file of authorities, a certificate or a key cannot be used; the message names it."""


def context_without_authorities() -> ssl.SSLContext:
    """Return a context that trusts nobody: it costs nothing, and no peer passes it."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def default_context() -> ssl.SSLContext:
    """Return a context that trusts the public authorities, whatever the environment says."""
    return _modern(httpx.create_ssl_context(trust_env=False))


def context_for_bundle(bundle: Path) -> ssl.SSLContext:
    """Return a context that trusts the authorities of a file alone, else `TlsFilesUnusable`."""
    try:
        return _modern(ssl.create_default_context(cafile=str(bundle)))
    except (OSError, ValueError) as error:
        raise TlsFilesUnusable(f"ca_bundle {bundle}: {error}") from error


def _modern(context: ssl.SSLContext) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
