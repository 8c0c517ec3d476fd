"""Settings that nobody should give: each stops the start, and is named with what is wrong."""

from tests.e2e.batch import Command

SETTINGS = 3


def _given(name: str, value: str, *says: str) -> Command:
    """Return a reading command that finds one setting wrong."""
    return Command(("list",), SETTINGS, (name, *says), {name: value})


def _several(*says: str, **settings: str | None) -> Command:
    """Return a reading command that finds several settings at odds."""
    given = {f"KPLUS_{name}": value for name, value in settings.items()}
    return Command(("list",), SETTINGS, says, given)


def _broker(url: str, *says: str) -> Command:
    """Return a command that needs the broker, whose URL is looked into only then."""
    name = "KPLUS_BROKER_URL"
    return Command(("reconcile",), SETTINGS, (name, *says), {name: url})


def _secret(content: bytes | None, *says: str, of: str = "PARTNER_SECRET") -> Command:
    """Return a command whose secret comes from such a file; None makes it a folder."""
    name = f"KPLUS_{of}_FILE"
    settings = {f"KPLUS_{of}": None, name: "secret"}
    return Command(("list",), SETTINGS, (name, *says), settings, {"secret": content})


def _partners(content: bytes | None, *says: str) -> Command:
    """Return a command that finds such a partners file; None makes it a folder."""
    settings = {"KPLUS_PARTNER_SECRET": None, "KPLUS_PARTNERS_FILE": "partners.toml"}
    named = ("KPLUS_PARTNERS_FILE", "partners.toml", *says)
    return Command(("list",), SETTINGS, named, settings, {"partners.toml": content})


def _partner(table: bytes, *says: str, name: str = "P1") -> Command:
    """Return a command that finds such a table of one partner."""
    written = f"[partners.{name}]\n".encode() + table
    return _partners(written, f"partners.{name.strip(chr(34))}", *says)


def _dialect(content: bytes | None, *says: str) -> Command:
    """Return a worker that finds such a dialect file; None makes it a folder."""
    named = ("KPLUS_DIALECT_FILE", "dialect.toml", *says)
    settings = {"KPLUS_DIALECT_FILE": "dialect.toml"}
    return Command(("worker",), SETTINGS, named, settings, {"dialect.toml": content})


BAD_SETTINGS: dict[str, Command] = {
    # Names.
    "a mistyped name": _given("KPLUS_DATABSE_URL", "x", "KPLUS_DATABASE_URL"),
    "a name in small letters": _several("KPLUS_BANK_ULR", "KPLUS_BANK_URL", BANK_ulr="x"),
    "a name never heard of": _given("KPLUS_FROBNICATE", "1", "not a setting"),
    "a file for what is no secret": _given("KPLUS_HOME_FILE", "x", "not a setting"),
    "an inline secret under another name": _given("KPLUS_SECRET", "x", "not a setting"),
    "a mistyped name in .env": Command(
        ("list",), SETTINGS, ("KPLUS_SWEEP_SECOND",), files={".env": b"KPLUS_SWEEP_SECOND=1\n"}
    ),
    "a wrong number in .env": Command(
        ("list",),
        SETTINGS,
        ("KPLUS_MAX_ATTEMPTS",),
        files={".env": b"KPLUS_MAX_ATTEMPTS=few\n"},
    ),
    "a .env that is no text": Command(
        ("list",), SETTINGS, (".env",), files={".env": b"KPLUS_HOME=\xff\xfe\n"}
    ),
    # Numbers.
    "seconds in words": _given("KPLUS_DEADLINE_SECONDS", "fifteen"),
    "seconds with a unit": _given("KPLUS_DEADLINE_SECONDS", "15s"),
    "seconds with a comma": _given("KPLUS_SWEEP_SECONDS", "0,5"),
    "no number of seconds": _given("KPLUS_DEADLINE_SECONDS", "nan"),
    "seconds without end": _given("KPLUS_MAX_AGE_SECONDS", "inf"),
    "seconds beyond a float": _given("KPLUS_MAX_AGE_SECONDS", "1e999"),
    "no seconds": _given("KPLUS_SWEEP_SECONDS", "0"),
    "negative seconds": _given("KPLUS_BACKOFF_BASE_SECONDS", "-2"),
    "an hour between two passes": _given("KPLUS_SWEEP_SECONDS", "3600"),
    "a lease of a day": _given("KPLUS_LEASE_SECONDS", "86400"),
    "half an attempt": _given("KPLUS_MAX_ATTEMPTS", "1.5"),
    "no attempt": _given("KPLUS_MAX_ATTEMPTS", "0"),
    "no calls at once": _given("KPLUS_CONCURRENCY", "0"),
    "too many calls at once": _given("KPLUS_CONCURRENCY", "100000"),
    "a uid longer than its column": _given("KPLUS_UID_LENGTH", "65"),
    "a prefix of seven characters": _given(
        "KPLUS_INQUIRY_UID_PREFIX", "SEVENTY", "1 to 6 letters, digits, - or _"
    ),
    "a prefix with a blank": _given("KPLUS_INQUIRY_UID_PREFIX", "IN Q", "1 to 6 letters"),
    "inquiries without enough chance": _several(
        "KPLUS_INQUIRY_UID_PREFIX leaves 8 characters of 11 to chance",
        "KPLUS_UID_LENGTH",
        INQUIRY_URL="https://bank/inquire-token",
        UID_LENGTH="11",
    ),
    "an unknown form of time": _given("KPLUS_REQUEST_DT", "rfc822"),
    # The ladder of times.
    "a lease as long as the call": _several(
        "KPLUS_LEASE_SECONDS", "KPLUS_DEADLINE_SECONDS", LEASE_SECONDS="15"
    ),
    "a call longer than the lease": _several("KPLUS_LEASE_SECONDS", DEADLINE_SECONDS="120"),
    "a backoff above its cap": _several(
        "KPLUS_BACKOFF_CAP_SECONDS", "KPLUS_BACKOFF_BASE_SECONDS", BACKOFF_CAP_SECONDS="1"
    ),
    "a rest above its cap": _several(
        "KPLUS_COOLDOWN_CAP_SECONDS", "KPLUS_COOLDOWN_BASE_SECONDS", COOLDOWN_BASE_SECONDS="301"
    ),
    # Addresses.
    "a bank by FTP": _given("KPLUS_BANK_URL", "ftp://bank/cancel"),
    "a bank without a scheme": _given("KPLUS_BANK_URL", "bank.example/cancel"),
    "a bank without a host": _given("KPLUS_BANK_URL", "https:///cancel"),
    "a bank with a user": _given("KPLUS_BANK_URL", "https://u:p@bank/cancel", "no user"),
    "an inquiry with a user": _given("KPLUS_INQUIRY_URL", "https://u@bank/x", "no user"),
    "a proxy by SOCKS": _given("KPLUS_PROXY_URL", "socks5://proxy:1080", "SOCKS"),
    "a proxy without a scheme": _given("KPLUS_PROXY_URL", "proxy:3128", "http://"),
    "a proxy with a path": _given("KPLUS_PROXY_URL", "http://proxy:3128/out", "port"),
    "a proxy's exceptions that are none": _given("KPLUS_NO_PROXY", "good, http://bad", "entry 2"),
    "a bank without TLS behind a proxy": _several(
        "KPLUS_BANK_URL", "http://", PROXY_URL="http://proxy:3128", BANK_URL="http://bank/cancel"
    ),
    "a webhook's proxy without a webhook": _given(
        "KPLUS_WEBHOOK_PROXY_URL", "http://proxy:3128", "KPLUS_WEBHOOK_URL"
    ),
    "a bundle of the proxy that is not there": Command(
        ("worker",), SETTINGS, ("KPLUS_PROXY_CA_BUNDLE", "gone"), {"KPLUS_PROXY_CA_BUNDLE": "gone"}
    ),
    "a bank with a blank": _given("KPLUS_INQUIRY_URL", "https://bank/inquire token"),
    "a database that is no URL": _given("KPLUS_DATABASE_URL", "orders"),
    "a database of another make": _given("KPLUS_DATABASE_URL", "mysql://host/orders"),
    "a database with a port in words": _given("KPLUS_DATABASE_URL", "postgresql://h:port/x"),
    "a database's option of the driver": _given(
        "KPLUS_DATABASE_URL", "postgresql://h/x?prepare_threshold=0", "take it out", "pooler"
    ),
    "a driver never heard of": _given("KPLUS_DATABASE_URL", "postgresql+nodriver://h/x"),
    **{
        f"a database by {driver}": _given(
            "KPLUS_DATABASE_URL", f"{driver}://h/x", f"write {written}:///"[:-1]
        )
        for driver, written in {
            "postgresql+psycopg2": "postgresql+psycopg",
            "postgresql+psycopg2cffi": "postgresql+psycopg",
            "postgresql+psycopg_async": "postgresql+psycopg",
            "postgresql+asyncpg": "postgresql+psycopg",
            "postgresql+pg8000": "postgresql+psycopg",
            "postgres": "postgresql+psycopg",
            "sqlite+aiosqlite": "sqlite",
            "sqlite+pysqlcipher": "sqlite",
        }.items()
    },
    "a database of several hosts": _given(
        "KPLUS_DATABASE_URL", "postgresql://h:5432,i:5432/x", "?host=one:5432&host=other:5432"
    ),
    "a schema on SQLite": _several(
        "KPLUS_DATABASE_SCHEMA", "SQLite has no schemas", DATABASE_SCHEMA="kplus"
    ),
    **{
        f"a schema {name!r}": _several(
            "KPLUS_DATABASE_SCHEMA must be a name",
            DATABASE_SCHEMA=name,
            DATABASE_URL="postgresql://h/x",
        )
        for name in (
            "Kplus",
            "kplus-cancel",
            "1kplus",
            "pg_kplus",
            "information_schema",
            'k"; DROP',
            "k" * 64,
            "k.p",
            "kplus\n",
            "ไทย",
        )
    },
    "a broker by HTTP": _given("KPLUS_BROKER_URL", "http://host"),
    "a broker that is no URL": _given("KPLUS_BROKER_URL", "redis"),
    "a cluster of brokers": _given("KPLUS_BROKER_URL", "redis+cluster://host", "Cluster"),
    "a broker without a host": _broker("redis://", "[credentials@]host"),
    "a broker that no order can be hinted through": Command(
        ("enqueue", "--uid", "UID9", "--token", "T9", "--reference1", "R9"),
        SETTINGS,
        ("KPLUS_BROKER_URL",),
        {"KPLUS_BROKER_URL": "redis://host:port"},
    ),
    "a broker with a port in words": _broker("redis://host:port"),
    "a broker that is not verified": _broker("rediss://host?ssl_cert_reqs=none", "verified"),
    "a broker with an unknown option": _broker("redis://host?prefix=x", "prefix"),
    "sentinels without a name": _broker("sentinel://host:26379", "master_name"),
    "two brokers": _broker("redis://a;redis://b", "sentinel://"),
    # Secrets.
    "an empty secret file": _secret(b"", "empty"),
    "a secret file of one line break": _secret(b"\n", "empty"),
    "a secret file that is no text": _secret(b"\xff\xfe\x00", "UTF-8"),
    "a secret file that is a folder": _secret(None, "secret"),
    "a secret file that is not there": _several(
        "KPLUS_PARTNER_SECRET_FILE", "gone", PARTNER_SECRET=None, PARTNER_SECRET_FILE="gone"
    ),
    "a database file that is empty": _secret(b"", "empty", of="DATABASE_URL"),
    "a broker file that is not there": _several(
        "KPLUS_BROKER_URL_FILE", "gone", BROKER_URL=None, BROKER_URL_FILE="gone"
    ),
    "a secret and its file": _several(
        "KPLUS_PARTNER_SECRET", "KPLUS_PARTNER_SECRET_FILE", PARTNER_SECRET_FILE="secret"
    ),
    "a secret of two lines": Command(
        ("list",),
        SETTINGS,
        ("KPLUS_PARTNER_SECRET_FILE must be printable",),
        {"KPLUS_PARTNER_SECRET": None, "KPLUS_PARTNER_SECRET_FILE": "secret"},
        {"secret": b"one\ntwo\n"},
    ),
    "a Thai secret": _given("KPLUS_PARTNER_SECRET", "ความลับ", "must be printable"),
    "a secret with a blank before it": _given("KPLUS_PARTNER_SECRET", " blank-before-it"),
    "a secret without its partner": _several(
        "KPLUS_PARTNER_SECRET", "KPLUS_PARTNER_ID", PARTNER_ID=None
    ),
    "a partner with a blank": _given("KPLUS_PARTNER_ID", "KP 2"),
    "a partner too long": _given("KPLUS_PARTNER_ID", "P" * 65),
    "one partner and many": Command(
        ("list",),
        SETTINGS,
        ("KPLUS_PARTNERS_FILE", "KPLUS_PARTNER_SECRET"),
        {"KPLUS_PARTNERS_FILE": "partners.toml"},
        {"partners.toml": b"[partners.P1]\nsecret = 'abcd'\n"},
    ),
    # The partners file.
    "no partners file": _several(
        "KPLUS_PARTNERS_FILE", "gone.toml", PARTNER_SECRET=None, PARTNERS_FILE="gone.toml"
    ),
    "a partners file that is a folder": _partners(None),
    "an empty partners file": _partners(b"", "[partners.ID]"),
    "a partners file that is no TOML": _partners(b"[partners.P1\nsecret = x"),
    "a partners file that is no text": _partners(b"\xff\xfe"),
    "a partners file without end": _partners(b"x = " + b"[" * 100_000),
    "partners that are a number": _partners(b"partners = 5\n", "[partners.ID]"),
    "a partner that is a number": _partners(b"[partners]\nP1 = 5\n", "partners.P1", "table"),
    "no secret": _partner(b"max_concurrency = 1\n", "secret_file"),
    "secret and secret_file": _partner(b"secret = 'abcd'\nsecret_file = 'x'\n", "secret_file"),
    "a secret_file that is not there": _partner(b"secret_file = 'gone'\n", "gone"),
    "a secret that is a number": _partner(b"secret = 5\n", "secret"),
    "a secret that is empty": _partner(b"secret = ''\n", "secret"),
    "an unknown key": _partner(b"secret = 'abcd'\nsecrte = 'x'\n", "secrte"),
    "a bank_url that is none": _partner(b"secret = 'abcd'\nbank_url = 'bank'\n", "bank_url"),
    "a proxy_url that is none": _partner(b"secret = 'abcd'\nproxy_url = 'proxy'\n", "proxy_url"),
    "a header of the bank's own": _partner(
        b"secret = 'abcd'\nheaders = { Partner-Secret = 'x' }\n", "Partner-Secret"
    ),
    "a header in a file that is not there": _partner(
        b"secret = 'abcd'\nheaders = { x-api-key = { file = 'gone' } }\n", "gone"
    ),
    "a rate of nothing": _partner(b"secret = 'abcd'\nrate_per_second = 0\n", "rate_per_second"),
    "a rate that is none": _partner(b"secret = 'abcd'\nrate_per_second = nan\n", "rate_per_second"),
    "half a call": _partner(b"secret = 'abcd'\nmax_concurrency = 0.5\n", "max_concurrency"),
    "a partner id with a blank": _partner(b"secret = 'abcd'\n", "partner_id", name='"P 1"'),
    # The dialect file.
    "no dialect file": Command(
        ("worker",),
        SETTINGS,
        ("KPLUS_DIALECT_FILE", "gone.toml"),
        {"KPLUS_DIALECT_FILE": "gone.toml"},
    ),
    "a dialect file that is a folder": _dialect(None),
    "a dialect file that is no TOML": _dialect(b"[error_codes\n"),
    "a dialect file that is no text": _dialect(b"\xff\xfe"),
    "a dialect of an unknown section": _dialect(b"[codes]\nx = 'paid'\n", "codes"),
    "a dialect of an unknown verdict": _dialect(b"[error_codes]\nx = 'fine'\n", "error_codes.x"),
    "a payable error code": _dialect(b"[error_codes]\nx = 'payable'\n", "error_codes.x"),
    "a dialect of numbers": _dialect(b"[statuses]\nx = 5\n", "statuses.x"),
    "a dialect that is no table": _dialect(b"statuses = ['x']\n", "statuses"),
    "a dialect that speaks for all": _dialect(b"[statuses]\n'*' = 'paid'\n", "statuses"),
    "a dialect of an empty word": _dialect(b"[error_codes]\n'' = 'paid'\n", "error_codes"),
    "a dialect of one word twice": _dialect(b"[statuses]\nX = 'paid'\nx = 'expired'\n", "statuses"),
}
