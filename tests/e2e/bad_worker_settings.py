"""Settings that pass for values, and that a worker could not use: each ends its start, named."""

from tests.e2e.batch import Command

SETTINGS = 3
WEBHOOK_SECRET = "whsec_" + "c2VjcmV0LW9mLXRoZS1vcmRlci1zeXN0ZW0tMTIzNDU2Nzg="


def _given(name: str, value: str, *says: str, **more: str) -> Command:
    return Command(("worker",), SETTINGS, (name, *says), {name: value, **more})


def _webhook(url: str) -> Command:
    return _given("KPLUS_WEBHOOK_URL", url, KPLUS_WEBHOOK_SECRET=WEBHOOK_SECRET)


def _partner(key: str, value: str) -> Command:
    settings = {"KPLUS_PARTNER_SECRET": None, "KPLUS_PARTNERS_FILE": "partners.toml"}
    content = f"[partners.P1]\nsecret = 'abcd'\n{key} = {value}\n".encode()
    says = ("KPLUS_PARTNERS_FILE", "partners.P1", key)
    return Command(("worker",), SETTINGS, says, settings, {"partners.toml": content})


ADDRESSES = {
    "no IPv4 address": "https://256.1.1.1/",
    "an empty part": "https://a..b/",
    "a part too long": f"https://{'a' * 64}.example/",
    "a broken international name": "https://xn--a.example/",
    "an international name too long": "https://" + "\u00e4" * 64 + ".example/",
    "a port above all": "https://host:65536/",
    "port 0": "https://host:0/",
    "a port in words": "https://host:https/",
    "half of an IPv6 address": "https://[::1/",
    "no IPv6 address": "https://[::g]/",
    "a zone": "https://[fe80::1%25eth0]/",
    "a packed blank": "https://ho%20st/",
    "a path without end": "https://host/" + "x" * 70_000,
}
TIMES = (
    "DEADLINE_SECONDS",
    "LEASE_SECONDS",
    "MAX_AGE_SECONDS",
    "BACKOFF_BASE_SECONDS",
    "BACKOFF_CAP_SECONDS",
    "COOLDOWN_BASE_SECONDS",
    "COOLDOWN_CAP_SECONDS",
    "INQUIRY_BASE_SECONDS",
    "SWEEP_SECONDS",
    "STALL_SECONDS",
    "OUTCOME_MAX_AGE_SECONDS",
    "WEBHOOK_DEADLINE_SECONDS",
)
WINDOWS = {
    "to the end of the calendar": "2026-01-01T00:00/9999-12-31T23:59",
    "from its beginning": "0001-01-01T00:00/2026-01-01T00:00",
    "with a daily one": "22:00-02:30, 2026-01-01T00:00/9999-12-31T00:00",
    "of an odd offset": "0001-01-01T00:00+14:00/2026-01-01T00:00",
}
BROKERS = {
    "a database in words": "redis://127.0.0.1:1/abc",
    "a database below 0": "redis://127.0.0.1:1/-1",
    "half a database": "redis://127.0.0.1:1/1.5",
    "a database without end": f"redis://127.0.0.1:1/{'9' * 30}",
    "a database in Thai digits": "redis://127.0.0.1:1/\u0e51",
    "a database of two parts": "redis://127.0.0.1:1/0/1",
    "a database of the sentinels in words": "sentinel://127.0.0.1:1/abc?master_name=m",
    "a host with an empty part": "redis://a..b:6379/0",
    "a host too long": f"amqp://{'a' * 64}.example//",
    "a port above all": "redis://127.0.0.1:65536/0",
    "port 0": "amqp://127.0.0.1:0//",
    "authorities that are not there": "rediss://127.0.0.1:1/0?ssl_ca_certs=/gone.pem",
    "a key that is not there": "amqps://127.0.0.1:1//?ssl_keyfile=/gone.pem",
    "authorities that are a folder": "rediss://127.0.0.1:1/0?ssl_ca_certs=/",
}
DATABASES = {
    "no file": "sqlite:///",
    "no path": "sqlite://",
    "memory": "sqlite:///:memory:",
    "a driver and no file": "sqlite+pysqlite:///",
}

BAD_WORKER_SETTINGS: dict[str, Command] = {
    **{f"a webhook with {name}": _webhook(url) for name, url in ADDRESSES.items()},
    **{f"a bank with {name}": _given("KPLUS_BANK_URL", url) for name, url in ADDRESSES.items()},
    "an inquiry with no IPv4 address": _given("KPLUS_INQUIRY_URL", "https://256.1.1.1/"),
    "a partner's bank with no IPv4 address": _partner("bank_url", "'https://256.1.1.1/'"),
    "a partner's inquiry with an empty part": _partner("inquiry_url", "'https://a..b/'"),
    **{f"{name} of 1e308": _given(f"KPLUS_{name}", "1e308") for name in TIMES},
    **{f"{name} of 1e-300": _given(f"KPLUS_{name}", "1e-300") for name in TIMES},
    **{f"a window {name}": _given("KPLUS_MAINTENANCE", text) for name, text in WINDOWS.items()},
    **{f"a broker with {name}": _given("KPLUS_BROKER_URL", url) for name, url in BROKERS.items()},
    **{
        f"a database with {name}": _given("KPLUS_DATABASE_URL", url)
        for name, url in DATABASES.items()
    },
    "a rate of next to nothing": _partner("rate_per_second", "1e-300"),
    "a rate without end": _partner("rate_per_second", "1e308"),
    "calls without end": _partner("max_concurrency", str(10**30)),
    "attempts without end": _given("KPLUS_MAX_ATTEMPTS", "9" * 30),
    "a webhook whose authorities are not there": _given(
        "KPLUS_WEBHOOK_CA_BUNDLE",
        "/gone.pem",
        KPLUS_WEBHOOK_URL="https://orders.example/",
        KPLUS_WEBHOOK_SECRET=WEBHOOK_SECRET,
    ),
    "a webhook whose authorities are a folder": _given(
        "KPLUS_WEBHOOK_CA_BUNDLE",
        "/",
        KPLUS_WEBHOOK_URL="https://orders.example/",
        KPLUS_WEBHOOK_SECRET=WEBHOOK_SECRET,
    ),
    "a home that is a file": Command(
        ("worker",),
        SETTINGS,
        ("KPLUS_HOME",),
        {"KPLUS_HOME": "/dev/null", "KPLUS_BROKER_URL": None},
    ),
    "a home below a file": Command(
        ("worker",),
        SETTINGS,
        ("KPLUS_HOME",),
        {"KPLUS_HOME": "/dev/null/home", "KPLUS_BROKER_URL": None},
    ),
    "a home with a name too long": Command(
        ("worker",),
        SETTINGS,
        ("KPLUS_HOME",),
        {"KPLUS_HOME": "/tmp/" + "h" * 300, "KPLUS_BROKER_URL": None},  # noqa: S108 - never made
    ),
}
