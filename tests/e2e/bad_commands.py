"""Command lines that nobody should type: each with its exit code and what it has to name."""

from tests.e2e.batch import Command

NO, USAGE, SETTINGS, UNREACHABLE = 1, 2, 3, 4
STORED = "UID1"
"""The one job that is stored."""

_ORDER = {"--uid": "UID9", "--token": "T9", "--reference1": "R9"}


def _typed(*arguments: str, code: int = USAGE, says: str = "") -> Command:
    return Command(arguments, code, tuple(says.split("|")) if says else ())


def _enqueue(says: str, code: int = USAGE, **changes: str | None) -> Command:
    """Return a good order with changes; None leaves an option out."""
    given = _ORDER | {f"--{name}": value for name, value in changes.items()}
    words = [word for name, value in given.items() if value is not None for word in (name, value)]
    return _typed("enqueue", *words, code=code, says=says)


COMMANDS: dict[str, Command] = {
    # The command itself.
    "an unknown command": _typed("nonsense", says="nonsense"),
    "a mistyped command": _typed("shows", STORED, says="shows"),
    "an unknown option of the program": _typed("--nonsense", says="--nonsense"),
    "an empty command": _typed("", says="command"),
    # show
    "show nothing": _typed("show", says="UID"),
    "show two": _typed("show", STORED, "UID2", says="UID2"),
    "show an unknown uid": _typed("show", "UID404", code=NO, says="UID404"),
    "show an empty uid": _typed("show", "", code=NO, says="''"),
    "show an endless uid": _typed("show", "U" * 5000, code=NO, says="UUU"),
    "show an escape sequence": _typed("show", "\x1b[31mred", code=NO, says="red"),
    "show half a character": _typed("show", "UID\udcff", says="UID|udcff"),
    "show with a mistyped option": _typed("show", STORED, "--josn", says="--josn"),
    # list
    "list an unknown state": _typed("list", "--state", "finished", says="--state|finished"),
    "list half a character of a partner": _typed("list", "--partner", "\udcff", says="--partner"),
    "list an unknown outcome": _typed("list", "--outcome", "done", says="--outcome|done"),
    "list since a word": _typed("list", "--since", "yesterday", says="--since|yesterday"),
    "list since a naive time": _typed("list", "--since", "2026-01-01", says="--since|offset"),
    "list since a negative age": _typed("list", "--since", "-5m", says="--since|-5m"),
    "list since an age without unit": _typed("list", "--since", "90", says="--since|90"),
    "list since before the calendar": _typed("list", "--since", "999999d", says="--since|999999d"),
    "list since the first day": _typed(
        "list", "--since", "0001-01-01T00:00:00+14:00", says="--since|0001"
    ),
    "list since nothing": _typed("list", "--since", says="--since"),
    "list none": _typed("list", "--limit", "0", says="--limit"),
    "list a word of them": _typed("list", "--limit", "many", says="--limit|many"),
    "list too many": _typed("list", "--limit", "10001", says="--limit|10001"),
    "list with an argument": _typed("list", "pending", says="pending"),
    "list half a character of a state": _typed("list", "--state", "\udcff", says="--state"),
    # enqueue
    "enqueue nothing": _typed("enqueue", says="--uid"),
    "enqueue without --uid": _enqueue("--uid", uid=None),
    "enqueue without --token": _enqueue("--token", token=None),
    "enqueue without --reference1": _enqueue("--reference1", reference1=None),
    "enqueue an empty uid": _enqueue("--uid:", uid=""),
    "enqueue a uid too long": _enqueue("--uid:|64", uid="U" * 65),
    "enqueue a uid with a blank": _enqueue("--uid:", uid="UID 9"),
    "enqueue a uid with a line break": _enqueue("--uid:", uid="UID9\n"),
    "enqueue a uid of half a character": _enqueue("--uid:", uid="UID\udcff"),
    "enqueue an empty token": _enqueue("--token:", token=""),
    "enqueue a token too long": _enqueue("--token:|128", token="T" * 129),
    "enqueue a Thai token": _enqueue("--token:", token="โทเคน"),
    "enqueue a blank reference": _enqueue("--reference1:", reference1="   "),
    "enqueue a reference too long": _enqueue("--reference1:|128", reference1="R" * 129),
    "enqueue a reference that rings": _enqueue("--reference1:", reference1="R\a"),
    "enqueue half a character of reference": _enqueue("--reference1:", reference1="R\udcff"),
    "enqueue a partner with a blank": _enqueue("--partner:", partner="KP 2"),
    "enqueue an empty partner": _enqueue("--partner:", partner=""),
    "enqueue an expiry in words": _enqueue("--expires:", expires="tomorrow"),
    "enqueue a naive expiry": _enqueue("--expires:|offset", expires="2026-11-22T12:00:00"),
    "enqueue an expiry in ms": _enqueue("--expires:|milli", expires="1795000000000"),
    "enqueue an expiry that is none": _enqueue("--expires:", expires="nan"),
    "enqueue an empty expiry": _enqueue("--expires:", expires=""),
    "enqueue two faults at once": _enqueue("--uid:|--token:", uid="", token=""),
    "enqueue a conflict": _enqueue(f"{STORED}|conflict", code=NO, uid=STORED),
    "enqueue an unknown option": _typed("enqueue", "--secret", "x", says="--secret"),
    # What looks after it.
    "rejected none": _typed("rejected", "--limit", "0", says="--limit"),
    "rejected with a mistyped option": _typed("rejected", "--bodys", says="--bodys"),
    "stats with an argument": _typed("stats", "today", says="today"),
    "doctor with an argument": _typed("doctor", "bank", says="bank"),
    "an unknown word of partners": _typed("partners", "stop", says="stop"),
    "pause nobody": _typed("partners", "pause", "--reason", "x", says="ID"),
    "pause without a reason": _typed("partners", "pause", "KP2XXX000033159", says="--reason"),
    "pause for no reason": _typed(
        "partners", "pause", "KP2XXX000033159", "--reason", " ", says="--reason"
    ),
    "pause for a reason that rings": _typed(
        "partners", "pause", "KP2XXX000033159", "--reason", "a\ab", says="--reason"
    ),
    "pause for endless reasons": _typed(
        "partners", "pause", "KP2XXX000033159", "--reason", "w" * 501, says="--reason"
    ),
    "pause a stranger": _typed(
        "partners", "pause", "NOBODY", "--reason", "x", code=NO, says="NOBODY"
    ),
    "pause half a character": _typed(
        "partners", "pause", "KP\udcff", "--reason", "x", says="ID|udcff"
    ),
    "resume a stranger": _typed(
        "partners", "resume", "NOBODY", "--reason", "x", code=NO, says="NOBODY"
    ),
    "an unknown word of db": _typed("db", "downgrade", says="downgrade"),
    "upgrade to nowhere": _typed("db", "upgrade", "--to", "nowhere", says="--to|nowhere"),
    # What runs.
    "an unknown pool": _typed("worker", "--pool", "gevent", says="--pool|gevent"),
    "no concurrency": _typed("worker", "--concurrency", "0", says="--concurrency"),
    "concurrency in words": _typed("worker", "--concurrency", "many", says="--concurrency|many"),
    "an unknown log level": _typed("worker", "--log-level", "loud", says="--log-level|loud"),
    "reconcile with an unknown option": _typed("reconcile", "--manifesto", says="--manifesto"),
    "a port that does not exist": _typed("sandbox", "--port", "70000", says="--port|70000"),
    "a partner without a secret": _typed("sandbox", "--partner-id", "P", says="--secret-file"),
    "a demo of nothing": _typed("demo", "--jobs", "0", says="--jobs"),
    "a secret file that is none": _typed(
        "sandbox", "--partner-id", "P", "--secret-file", "none", says="--secret-file|none"
    ),
    "an empty secret file": Command(
        ("sandbox", "--partner-id", "P", "--secret-file", "empty"),
        USAGE,
        ("--secret-file", "empty"),
        files={"empty": b""},
    ),
    "a secret file that is no text": Command(
        ("sandbox", "--partner-id", "P", "--secret-file", "bytes"),
        USAGE,
        ("--secret-file", "UTF-8"),
        files={"bytes": b"\xff\xfe"},
    ),
    "a secret file that is a folder": Command(
        ("sandbox", "--partner-id", "P", "--secret-file", "folder"),
        USAGE,
        ("--secret-file", "folder"),
        files={"folder": None},
    ),
    "an address that is not ours": _typed(
        "sandbox", "--host", "192.0.2.1", code=UNREACHABLE, says="192.0.2.1|--port"
    ),
    # What they need.
    "no database": Command(
        ("list",), UNREACHABLE, ("none.db",), {"KPLUS_DATABASE_URL": "sqlite:///none.db"}
    ),
    "a database that is none": Command(
        ("show", STORED),
        UNREACHABLE,
        ("database",),
        {"KPLUS_DATABASE_URL": "sqlite:///text.db"},
        {"text.db": b"this is no database, " * 100},
    ),
    "a database without our tables": Command(
        ("stats",),
        UNREACHABLE,
        ("db upgrade",),
        {"KPLUS_DATABASE_URL": "sqlite:///bare.db"},
        {"bare.db": b""},
    ),
    "a database server that is not there": Command(
        ("list",),
        UNREACHABLE,
        ("database",),
        {"KPLUS_DATABASE_URL": "postgresql+psycopg://nobody@127.0.0.1:1/none"},
    ),
}
