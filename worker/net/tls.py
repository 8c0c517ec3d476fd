"""
TLS contexts: which authorities are trusted, and how strictly their certificates are read.

The same on every Python (ADR 34): the defaults of 3.13 are stricter than those before.
"""

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
    return _modern(httpx.create_ssl_context(trust_env=False), strict=True)


def context_for_bundle(bundle: Path | None, *, name: str = "ca_bundle") -> ssl.SSLContext:
    """
    Return a context that trusts only the authorities of a file, or the public ones if None.

    Raises `TlsFilesUnusable`, which gives the file under this name.
    """
    if bundle is None:
        return default_context()
    try:
        return _modern(ssl.create_default_context(cafile=str(bundle)), strict=False)
    except (OSError, ValueError) as error:
        raise TlsFilesUnusable(f"{name} {bundle}: {error}") from error


def _modern(context: ssl.SSLContext, *, strict: bool) -> ssl.SSLContext:
    """
    Set what differs from Python to Python.

    `strict` refuses certificates that RFC 5280 does not allow, such as an authority's whose
    basicConstraints are not critical. Companies have many of those, and named them on purpose.
    Whatever a bundle holds may end a chain, also an authority that is not the root.
    """
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if strict:
        context.verify_flags |= ssl.VERIFY_X509_STRICT
    else:
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
