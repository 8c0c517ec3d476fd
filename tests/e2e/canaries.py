"""Looking for a secret in every dress, in every table, in every key."""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from redis import Redis
from sqlalchemy import Engine, inspect, text

from tests.servers.secret_forms import forms


def dresses(secret: str) -> dict[str, str]:
    """Return the secret as it is and as encodings show it, by the name of each form."""
    return {name: form for name, form in forms(secret).items() if name not in UNSTORABLE}


UNSTORABLE = {"UTF-16", "UTF-32"}
"""Forms with NULs, which no database stores."""


def traces(secrets: Mapping[str, str], places: Mapping[str, str]) -> list[str]:
    """Return where which secret is found and how it is dressed: never the secret itself."""
    return [
        f"{owner} in {place}, {name}"
        for owner, secret in secrets.items()
        for name, form in dresses(secret).items()
        for place, content in places.items()
        if form in content
    ]


def everywhere(engine: Engine, client: "Redis") -> dict[str, str]:
    """Return what stands in the database, its files and the broker."""
    return tables_as_text(engine) | files_as_text(engine) | keys_as_text(client)


def tables_as_text(engine: Engine) -> dict[str, str]:
    """Return all rows of all tables, ours or not."""
    with engine.connect() as connection:
        return {
            f"table {name}": "\n".join(
                "\n".join(map(_as_text, row))
                for row in connection.execute(text(f'SELECT * FROM "{name}"'))  # noqa: S608 - a name
            )
            for name in inspect(engine).get_table_names()
        }


def files_as_text(engine: Engine) -> dict[str, str]:
    """Return the bytes of an SQLite database: what was ever written, also where it is deleted."""
    if engine.dialect.name != "sqlite":
        return {}
    path, found = Path(str(engine.url.database)), {}
    for each in path.parent.glob(f"{path.name}*"):
        with suppress(FileNotFoundError):  # the last connection that closes removes the others
            found[f"file {each.suffix}"] = each.read_bytes().decode("latin-1")
    return found


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)


def keys_as_text(client: "Redis") -> dict[str, str]:
    """Return the content of every key of every database, whatever its type."""
    found = {}
    for key in client.scan_iter():
        name = key.decode(errors="backslashreplace")
        values = [name, *(part.decode(errors="backslashreplace") for part in _parts(client, key))]
        found[f"key {name}"] = "\n".join(values)
    return found


def _parts(client: Any, key: bytes) -> Iterator[bytes]:
    match client.type(key):
        case b"string":
            yield client.get(key)
        case b"list":
            yield from client.lrange(key, 0, -1)
        case b"set":
            yield from client.smembers(key)
        case b"zset":
            yield from client.zrange(key, 0, -1)
        case b"hash":
            for item in client.hgetall(key).items():
                yield from item
        case b"stream":
            for _, fields in client.xrange(key):
                for item in fields.items():
                    yield from item
        case other:
            raise AssertionError(f"{key!r} is of a type nobody can search: {other!r}")


PLANTED = ("a string", "a list", "a set", "a sorted set", "a hash", "a stream")


def plant(client: "Redis", secret: str) -> None:
    """Put a secret into a key of each type."""
    client.set("a string", secret)
    client.rpush("a list", "x", secret)
    client.sadd("a set", secret)
    client.zadd("a sorted set", {secret: 1})
    client.hset("a hash", "key", secret)
    client.xadd("a stream", {"key": secret})
