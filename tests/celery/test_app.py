"""The application's settings: where it connects, how it verifies, how long it waits."""

import ssl
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, current_app
from kombu.exceptions import OperationalError
from kombu.transport import TRANSPORT_ALIASES

from tests.bank.tls_files import AUTHORITY, AUTHORITY_BELOW, LOOSE_AUTHORITY
from tests.celery.parts import RedisServer
from tests.servers.tls_front import TlsFront
from tests.survival.proxy import Proxy
from worker.broker.app import (
    CANCEL_QUEUE,
    CANCEL_TOKEN,
    HOUSEKEEPING_QUEUE,
    KEEP_REJECTED,
    RECONCILE,
    create_app,
)
from worker.errors import SettingsError

MINUTE = timedelta(seconds=60)


def app_for(url: str, **settings: Any) -> Celery:
    return create_app(broker_url=url, lease=MINUTE, **settings)


def test_the_names_are_those_of_the_contract() -> None:
    """Messages in flight carry them: they never change."""
    names = (CANCEL_TOKEN, RECONCILE, KEEP_REJECTED, CANCEL_QUEUE, HOUSEKEEPING_QUEUE)

    assert names == (
        "kplus.cancel_token",
        "kplus.reconcile",
        "kplus.keep_rejected",
        "kplus.cancel",
        "kplus.housekeeping",
    )


@pytest.mark.parametrize(("lease", "expected"), [(60, 300), (150, 300), (200.5, 401), (3600, 7200)])
def test_an_unacknowledged_message_outlasts_two_leases(lease: float, expected: int) -> None:
    app = create_app(broker_url="redis://h", lease=timedelta(seconds=lease))

    assert app.conf.broker_transport_options["visibility_timeout"] == expected


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("", "must begin with"),
        ("redis", "must begin with"),
        ("kafka://host", "must begin with one of redis, rediss, sentinel, amqp, amqps"),
        ("redis+cluster://host", "Redis Cluster cannot"),
        ("redis+socket:///run/redis.sock", "must begin with"),
        ("redis://", "is no URL"),
        ("redis://host:nineteen", "is no URL"),
        ("redis://host:99999", "is no URL"),
        ("redis://[::1", "is no URL"),
        ("redis://host?visibility_timeout=1", "unknown option visibility_timeout"),
        ("redis://host?ssl_ca_certs=/ca.pem", "unknown option ssl_ca_certs"),
        ("redis://a;redis://b", "need sentinel://"),
        ("amqps://a;amqp://b", "all of its addresses must begin with amqps://"),
        ("amqp://a?ssl=0", "unknown option ssl"),
        ("rediss://host?ssl_cert_reqs=none", "ssl_cert_reqs must be left out or 'required'"),
        ("rediss://host?ssl_cert_reqs=CERT_OPTIONAL", "ssl_cert_reqs must be left out"),
        ("rediss://host?ssl_check_hostname=false", "unknown option ssl_check_hostname"),
        ("sentinel://a:26379;sentinel://b:26379", r"needs \?master_name="),
    ],
)
def test_a_broker_that_is_unsafe_or_unknown_is_refused_with_the_remedy(
    url: str, complaint: str
) -> None:
    with pytest.raises(SettingsError, match=rf"^KPLUS_BROKER_URL: .*{complaint}"):
        app_for(url)


def test_a_refusal_does_not_show_the_password() -> None:
    with pytest.raises(SettingsError) as told:
        app_for("redis://user:hidden-word@host:nineteen?x=hidden-word")

    assert "hidden-word" not in str(told.value)


def test_the_environment_of_other_celery_programs_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Celery reads these before any setting of ours."""
    for name in ("CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL"):
        monkeypatch.setenv(name, "redis://elsewhere:1/1")
    monkeypatch.setenv("CELERY_RESULT_BACKEND", "redis://elsewhere:1/2")
    monkeypatch.setenv("CELERY_LOADER", "no.such.loader")
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "no.such.settings")

    app = app_for("redis://here:6399/3")

    for connection in (app.connection_for_read(), app.connection_for_write(), app.connection()):
        assert (connection.hostname, connection.port) == ("here", 6399)
        assert connection.virtual_host == "3"
    assert type(app.backend).__name__ == "DisabledBackend"


def test_it_does_not_become_the_current_app_of_the_program_around_it() -> None:
    Celery("theirs", broker="memory://").set_current()

    app_for("redis://here")

    assert current_app.main == "theirs"


def test_kombus_own_transports_stay_as_they_are() -> None:
    """A producer's program may use them for queues of its own."""
    before = dict(TRANSPORT_ALIASES)

    assert app_for("redis://here").connection_for_write().transport.driver_type == "redis"

    assert before == TRANSPORT_ALIASES
    assert before["redis"] == "kombu.transport.redis:Transport"


def test_sentinels_share_the_database_and_one_transport() -> None:
    app = app_for("sentinel://:word@a:26379;sentinel://b:26380/3?master_name=m")
    connection = app.connection_for_read()
    own = connection.transport_cls

    for _ in range(3):
        connection.maybe_switch_next()
        assert (connection.transport_cls, connection.virtual_host) == (own, "3")
        assert (connection.hostname, connection.port, connection.password) == ("a", 26379, "word")
    assert app.conf.broker_transport_options["master_name"] == "m"


def test_a_mistyped_queue_fails_instead_of_filling_one_that_nobody_reads() -> None:
    with pytest.raises(Exception, match=r"kplus\.other"):
        app_for("redis://here").send_task(CANCEL_TOKEN, queue="kplus.other")


@pytest.mark.broker
def test_a_frozen_broker_costs_a_producer_its_patience_and_no_more(
    redis_server: RedisServer,
) -> None:
    """
    Without a bound Celery waits for ever, and redis-py's own retries multiply any bound.

    Each retry connects anew and waits once more (measured: three of them, 3 s became 19 s).
    """
    with Proxy(redis_server.port) as line:
        app = app_for(f"redis://127.0.0.1:{line.port}/0", timeout=timedelta(seconds=3))
        app.send_task(CANCEL_TOKEN, kwargs={})
        line.freeze()
        before = line.taken

        with pytest.raises(OperationalError):
            app.send_task(CANCEL_TOKEN, kwargs={}, retry=False)

        assert line.taken == before
        app.close()


@pytest.mark.broker
def test_a_producer_goes_on_after_a_restart_of_redis(redis_server: RedisServer) -> None:
    app = app_for(redis_server.url)
    app.send_task(CANCEL_TOKEN, kwargs={})
    redis_server.stop()
    with pytest.raises(OperationalError):
        app.send_task(CANCEL_TOKEN, kwargs={}, retry=False)
    redis_server.start()

    app.send_task(CANCEL_TOKEN, kwargs={}, retry=False)

    with redis_server.client() as client:
        assert client.llen(CANCEL_QUEUE) == 2
    app.close()


@pytest.fixture
def tls_front(redis_server: RedisServer, request: pytest.FixtureRequest) -> Iterator[TlsFront]:
    with TlsFront(redis_server.port, getattr(request, "param", "server.pem")) as front:
        yield front


def sent_over_tls(
    front: TlsFront, server: RedisServer, *, scheme: str = "rediss", query: str = ""
) -> int:
    app = app_for(f"{scheme}://localhost:{front.port}/0{query}", timeout=timedelta(seconds=2))
    try:
        app.send_task(CANCEL_TOKEN, kwargs={}, retry=False)
    finally:
        app.close()
    with server.client() as client:
        return int(str(client.llen(CANCEL_QUEUE)))


@pytest.mark.broker
def test_rediss_works_with_an_authority_of_ones_own(
    tls_front: TlsFront, redis_server: RedisServer
) -> None:
    assert sent_over_tls(tls_front, redis_server, query=f"?ssl_ca_certs={AUTHORITY}") == 1


@pytest.mark.broker
@pytest.mark.parametrize(
    ("tls_front", "authority"),
    [("server_loose.pem", LOOSE_AUTHORITY), ("server_below.pem", AUTHORITY_BELOW)],
    indirect=["tls_front"],
)
def test_rediss_trusts_a_named_authority_as_it_is_on_every_python(
    tls_front: TlsFront, redis_server: RedisServer, authority: Path
) -> None:
    """Python 3.13 refuses the first by default, and the versions before refuse the second."""
    assert sent_over_tls(tls_front, redis_server, query=f"?ssl_ca_certs={authority}") == 1


@pytest.mark.broker
def test_rediss_refuses_a_certificate_of_an_unknown_authority(
    tls_front: TlsFront, redis_server: RedisServer
) -> None:
    """Plain Celery connects (measured)."""
    with pytest.raises(OperationalError, match="certificate verify failed"):
        sent_over_tls(tls_front, redis_server)


@pytest.mark.broker
@pytest.mark.parametrize("tls_front", ["other_host.pem", "expired.pem"], indirect=True)
def test_rediss_refuses_a_certificate_of_another_name_or_time(
    tls_front: TlsFront, redis_server: RedisServer
) -> None:
    with pytest.raises(OperationalError, match="certificate verify failed"):
        sent_over_tls(tls_front, redis_server, query=f"?ssl_ca_certs={AUTHORITY}")


@pytest.mark.parametrize(
    ("url", "required"),
    [
        ("amqps://host", "cert_reqs"),
        ("rediss://host", "ssl_cert_reqs"),
        ("sentinel://a?master_name=m&ssl_ca_certs=/ca.pem", "ssl_cert_reqs"),
    ],
)
def test_every_kind_of_tls_is_verified(url: str, required: str) -> None:
    assert app_for(url).conf.broker_use_ssl[required] is ssl.CERT_REQUIRED


def test_every_address_of_a_rabbitmq_cluster_is_verified() -> None:
    """Celery switches to the next one by itself."""
    connection = app_for("amqps://a;amqps://b").connection_for_read()
    for host in ("a", "b", "a"):
        assert connection.hostname == host
        assert connection.transport_cls == "worker.broker.amqp:SecureTransport"
        verified: Any = connection.ssl
        assert verified["cert_reqs"] is ssl.CERT_REQUIRED
        connection.maybe_switch_next()


def test_only_rabbitmq_has_quorum_queues() -> None:
    for url, arguments in (("amqp://a", {"x-queue-type": "quorum"}), ("redis://a", None)):
        queues = app_for(url).amqp.queues.values()
        assert [queue.queue_arguments for queue in queues] == [arguments] * 2


def test_sentinels_over_tls_are_verified_like_their_master() -> None:
    options = app_for("sentinel://a?master_name=m&ssl_ca_certs=/ca.pem&sentinel_password=pw").conf

    sentinels = options.broker_transport_options["sentinel_kwargs"]

    assert sentinels["ssl"] is True
    assert sentinels["ssl_cert_reqs"] is ssl.CERT_REQUIRED
    assert sentinels["password"] == "pw"


def test_a_connection_that_fails_over_keeps_the_transport_that_unpacks_nothing() -> None:
    """In kombu the scheme of the next address chooses the transport."""
    url = "amqp://a:5672/v;amqp://b:5672/v"
    app = create_app(broker_url=url, lease=timedelta(seconds=60))
    with app.connection_for_read() as connection:
        first = connection.transport_cls
        connection.maybe_switch_next()
        assert (connection.hostname, connection.transport_cls) == ("b", first)
        assert connection.clone().transport_cls == first
