"""The address of an egress proxy, and the hosts that are reached without it."""

from base64 import b64decode

import pytest
from pydantic import SecretStr

from worker.net.proxy import DIRECT, Exceptions, Proxy, check_behind

CANARY = "canary-cHJveHk"


def test_an_address_says_where_the_proxy_is_and_who_we_are_to_it() -> None:
    proxy = Proxy.read(f"http://us%40er:{CANARY}%2F%3A%25@proxy.example:3128/")
    assert (proxy.host, proxy.port, proxy.is_tls) == ("proxy.example", 3128, False)
    scheme, _, who = str(proxy.authorization).partition(" ")
    assert (scheme, b64decode(who)) == ("Basic", f"us@er:{CANARY}/:%".encode())


@pytest.mark.parametrize(
    ("url", "host", "port", "is_tls", "name"),
    [
        ("http://proxy", "proxy", 80, False, "proxy:80"),
        ("https://Proxy.Example.", "proxy.example", 443, True, "proxy.example:443"),
        ("HTTP://10.0.0.1:8080", "10.0.0.1", 8080, False, "10.0.0.1:8080"),
        ("http://[fd00::1]:8080", "fd00::1", 8080, False, "[fd00::1]:8080"),
    ],
)
def test_what_an_address_leaves_out_is_what_http_says(
    url: str, host: str, port: int, *, is_tls: bool, name: str
) -> None:
    proxy = Proxy.read(url)
    assert (proxy.host, proxy.port, proxy.is_tls, proxy.name) == (host, port, is_tls, name)
    assert proxy.authorization is None


@pytest.mark.parametrize(
    "url",
    [
        "",
        CANARY,
        f"{CANARY}:3128",
        f"socks5://{CANARY}:1080",
        f"ftp://{CANARY}",
        f"http://u:{CANARY}@",
        f"http://u:{CANARY}@h:99999",
        f"http://u:{CANARY}@h:0",
        f"http://u:{CANARY}@[::1",
        f"http://u:{CANARY}@h/path",
        f"http://u:{CANARY}@h?query",
        f"http://u:{CANARY}/x@h",
        f"http://u%3Ax:{CANARY}@h",
        f"http://u:{CANARY}@h\r\nX: 1",
        f"http://u:{CANARY} x@h",
    ],
)
def test_what_is_no_address_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ValueError, match="must ") as told:
        Proxy.read(url)
    assert CANARY not in str(told.value)


def test_no_password_is_in_what_is_shown_of_it() -> None:
    proxy = Proxy.read(f"http://user:{CANARY}@h:1")
    assert CANARY not in f"{proxy!r} {proxy} {proxy.name}"


def test_a_setting_may_be_unset_or_say_that_there_is_none() -> None:
    assert Proxy.from_settings(None) is None
    assert Proxy.from_settings(SecretStr(DIRECT)) is None
    assert Proxy.from_settings(SecretStr("http://h:1")) == Proxy.read("http://h:1")


@pytest.mark.parametrize(
    ("listed", "reached_without"),
    [
        ("bank.example", ["bank.example", "BANK.example.", "api.bank.example"]),
        (".bank.example", ["bank.example", "api.bank.example"]),
        ("*.bank.example", ["api.bank.example"]),
        ("localhost, orders", ["localhost", "orders"]),
        ("a.example b.example\tc.example", ["a.example", "b.example", "c.example"]),
        ("10.0.0.0/8,127.0.0.1", ["10.1.2.3", "127.0.0.1"]),
        ("::1 fd00::/8", ["::1", "[::1]", "fd00::5"]),
        ("[::1]", ["::1"]),
        ("*", ["anything.example", "10.0.0.1", "::1"]),
        ("bücher.example", ["bücher.example", "xn--bcher-kva.example"]),
        ("a_b.example", ["a_b.example"]),
    ],
)
def test_hosts_that_are_listed_are_reached_without(listed: str, reached_without: list[str]) -> None:
    proxy = Proxy.read("http://h:1", exceptions=listed)
    assert [host for host in reached_without if proxy.serves(host)] == []


@pytest.mark.parametrize(
    ("listed", "served"),
    [
        ("", ["bank.example", "10.0.0.1", "::1"]),
        (" , ", ["bank.example"]),
        ("bank.example", ["notbank.example", "bank.example.org", "example"]),
        ("10.0.0.0/8", ["11.0.0.1", "fd00::1", "ten.example"]),
        ("1.2.3.4", ["1.2.3.40", "11.2.3.4"]),
        ("example", ["a" * 70 + ".test"]),
    ],
)
def test_all_others_are_served(listed: str, served: list[str]) -> None:
    proxy = Proxy.read("http://h:1", exceptions=listed)
    assert [host for host in served if not proxy.serves(host)] == []


@pytest.mark.parametrize("entry", ["http://x", "a:8080", "10.0.0.0/99", "-x", "a..b/", "a b/c"])
def test_an_entry_that_names_no_host_is_told_by_its_number(entry: str) -> None:
    with pytest.raises(ValueError, match=r"its entry [23] is no host"):
        Exceptions.read(f"good.example, {entry}")


def test_nothing_goes_through_a_proxy_without_tls() -> None:
    proxy = Proxy.read("http://h:1", exceptions="near.example")
    check_behind(proxy, "https://bank.example/x")
    check_behind(proxy, "http://near.example/x")
    check_behind(None, "http://bank.example/x")
    with pytest.raises(ValueError, match="KPLUS_NO_PROXY"):
        check_behind(proxy, "http://bank.example/x")
