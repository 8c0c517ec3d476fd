"""The broker's URL, checked and turned into Celery's settings. TLS is always verified."""

import math
import ssl
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, parse_qsl, urlsplit

import certifi

from worker.broker import keys
from worker.broker.transports import RABBITMQ, TRANSPORTS
from worker.errors import SettingsError
from worker.net.address import check_host

_SENTINEL_KEYS: Final = frozenset({"master_name", "sentinel_username", "sentinel_password"})
_LARGEST_DATABASE: Final = 2**31 - 1
_TLS_KEYS: Final = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile"})
_NAMED_AUTHORITIES: Final = {
    "ssl_include_verify_flags": [ssl.VERIFY_X509_PARTIAL_CHAIN],
    "ssl_exclude_verify_flags": [ssl.VERIFY_X509_STRICT],
}
"""How the certificates of a CA file of the user's are read, on every Python (ADR 34)."""


def broker_settings(url: str, *, lease: timedelta, timeout: timedelta) -> dict[str, object]:
    """Return every setting of the broker. Raise `SettingsError`, naming the remedy."""
    scheme = url.partition("://")[0] if "://" in url else ""
    if "cluster" in scheme:
        raise _refused(
            "Redis Cluster cannot carry Celery's queues; use one Redis or Sentinel "
            "(redis://, rediss://, sentinel://)"
        )
    if scheme not in TRANSPORTS:
        raise _refused(f"must begin with one of {', '.join(TRANSPORTS)} and ://")
    hosts = [_split(part) for part in url.split(";")]
    if {host.scheme for host in hosts} != {scheme}:
        raise _refused(f"all of its addresses must begin with {scheme}://, like the first")
    if scheme not in RABBITMQ:
        _check_database(hosts)
    query = _query(hosts, scheme)
    wait = timeout.total_seconds()
    return {
        "broker_url": _address(url),
        "broker_transport": TRANSPORTS[scheme],
        "broker_transport_options": _transport_options(scheme, query, lease=lease, wait=wait),
        "broker_use_ssl": _tls(scheme, query),
        "broker_failover_strategy": _stay if scheme == "sentinel" else "round-robin",
        "broker_connection_timeout": wait,
        "broker_connection_retry": True,
        "broker_connection_retry_on_startup": True,
        # Celery's default gives up after 100 attempts.
        "broker_connection_max_retries": None,
        # Without it a read-only replica or a full Redis ends the worker (measured).
        "broker_channel_error_retry": True,
        # Celery's default waits for ever.
        "broker_pool_acquire_timeout": wait,
        # RabbitMQ only, and consumers only: a lost peer is noticed after 20 s instead of 240 s.
        "broker_heartbeat": 10,
    }


def _transport_options(
    scheme: str, query: Mapping[str, str], *, lease: timedelta, wait: float
) -> dict[str, object]:
    if scheme in {"amqp", "amqps"}:
        return {"confirm_publish": True}
    options: dict[str, object] = {
        # No global_keyprefix: a producer without it would write to a queue that no worker reads.
        "visibility_timeout": max(300, math.ceil(2 * lease.total_seconds())),
        # Celery's own keys are shared by all its programs in one database (ADR 33).
        "unacked_key": keys.UNACKED,
        "unacked_index_key": keys.UNACKED_INDEX,
        "unacked_mutex_key": keys.UNACKED_MUTEX,
        "priority_steps": list(keys.PRIORITY_STEPS),
        # By default Celery looks for abandoned messages only every 100 s (measured).
        "unacked_restore_interval": 10,
        "unacked_restore_throttle": 1,
        "unacked_mutex_expire": 30,
        "socket_timeout": wait,
        "socket_connect_timeout": min(3.0, wait),
        "socket_keepalive": True,
        # A lost peer is noticed after 14 s instead of 52 s (measured).
        "health_check_interval": 5,
        "client_name": "kplus-cancel",
    }
    if scheme == "sentinel":
        options |= {"master_name": query["master_name"], "sentinel_kwargs": _sentinel(query, wait)}
    return options


def _sentinel(query: Mapping[str, str], wait: float) -> dict[str, object]:
    names = {"sentinel_username": "username", "sentinel_password": "password"}
    options: dict[str, object] = {names[key]: value for key, value in query.items() if key in names}
    if not query.keys().isdisjoint(_TLS_KEYS):
        options |= {"ssl": True, **_redis_tls(query)}
    return options | {"socket_timeout": wait, "socket_connect_timeout": min(3.0, wait)}


def _tls(scheme: str, query: Mapping[str, str]) -> dict[str, object] | None:
    """
    Return the TLS options that make kombu verify the broker.

    Measured: without such a dict kombu does not verify `rediss://`, and with `True` instead of
    it kombu connects in plain text.
    """
    if scheme == "amqps":
        return {
            "cert_reqs": ssl.CERT_REQUIRED,
            "ca_certs": _authorities(query),
            "certfile": query.get("ssl_certfile"),
            "keyfile": query.get("ssl_keyfile"),
            # None: kombu sets the host's name, and only then checks it.
            "server_hostname": None,
        }
    if scheme == "rediss" or not query.keys().isdisjoint(_TLS_KEYS):
        return _redis_tls(query)
    return None


def _redis_tls(query: Mapping[str, str]) -> dict[str, object]:
    client = {key: query[key] for key in ("ssl_certfile", "ssl_keyfile") if key in query}
    return {
        "ssl_cert_reqs": ssl.CERT_REQUIRED,
        "ssl_ca_certs": _authorities(query),
        "ssl_check_hostname": True,
        **(_NAMED_AUTHORITIES if query.get("ssl_ca_certs") else {}),
        **client,
    }


def _authorities(query: Mapping[str, str]) -> str:
    """Return the CA file of the URL, of the system, or of certifi."""
    return query.get("ssl_ca_certs") or ssl.get_default_verify_paths().cafile or certifi.where()


def _query(hosts: list[SplitResult], scheme: str) -> dict[str, str]:
    """Return the URL's options. Raise `SettingsError` if one is unknown or unsafe."""
    query = {key: value for host in hosts for key, value in parse_qsl(host.query)}
    if query.pop("ssl_cert_reqs", "required").lower() not in {"required", "cert_required"}:
        raise _refused("ssl_cert_reqs must be left out or 'required': the broker is verified")
    allowed = set() if scheme in {"redis", "amqp"} else set(_TLS_KEYS)
    allowed |= _SENTINEL_KEYS if scheme == "sentinel" else set()
    if unknown := sorted(set(query) - allowed):
        known = ", ".join(sorted(allowed)) or "none"
        raise _refused(f"unknown option {', '.join(unknown)} (known for {scheme}://: {known})")
    if scheme == "sentinel" and not query.get("master_name"):
        raise _refused("sentinel:// needs ?master_name=, the name the sentinels know")
    if scheme in {"redis", "rediss"} and len(hosts) > 1:
        raise _refused("several Redis servers need sentinel://a:26379;sentinel://b:26379")
    return query


def files_of(url: str) -> list[tuple[str, Path]]:
    """Return the files that a broker's URL names, each with the name of its option."""
    queries = [parse_qsl(urlsplit(part).query) for part in url.split(";")]
    return [(name, Path(value)) for query in queries for name, value in query if name in _TLS_KEYS]


def _check_database(hosts: list[SplitResult]) -> None:
    """Refuse what kombu would refuse in every connection: a database of Redis is a number."""
    for path in {host.path.strip("/") for host in hosts} - {""}:
        if not (path.isascii() and path.isdigit() and int(path) <= _LARGEST_DATABASE):
            raise _refused("its path must be the number of a database of Redis, such as /0")


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        if parts.hostname and parts.port != 0:
            check_host(parts.hostname)
            return parts
    except ValueError:
        pass
    # `[credentials@]`: a spelled-out user and password would be redacted like real ones.
    raise _refused("is no URL: expected scheme://[credentials@]host[:port][/database]")


def _address(url: str) -> str:
    """Return the URL without options. kombu reads the database from the first host only."""
    hosts = [part.partition("?")[0].rstrip("/") for part in url.split(";")]
    database = urlsplit(hosts[-1]).path
    return ";".join([hosts[0] if urlsplit(hosts[0]).path else hosts[0] + database, *hosts[1:]])


def _stay(urls: list[str]) -> Iterator[str | None]:
    """
    Yield the first sentinel for ever.

    redis-py asks all sentinels anyway. Celery's round-robin would switch to the next URL, and
    with it from our transport to kombu's.
    """
    while True:
        yield urlsplit(urls[0]).hostname


def _refused(reason: str) -> SettingsError:
    return SettingsError(f"KPLUS_BROKER_URL: {reason}")
