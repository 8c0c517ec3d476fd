"""The rights that docs/how-to/brokers.md writes down, as the tests give them to users."""

import re
import shlex
from typing import Any, Final

from tests.servers.schema import ROOT

PAGE: Final = ROOT / "docs" / "how-to" / "brokers.md"
PASSWORD: Final = "only-in-these-tests"
_BLOCK: Final = re.compile(r"<!-- acl: (\w+) -->\n\n```\n(.*?)```", re.DOTALL)


def written(name: str) -> list[str]:
    """Return the words of a command of the page."""
    found = dict(_BLOCK.findall(PAGE.read_text(encoding="utf-8")))
    return shlex.split(found[name].replace("\n", " "))


def rules(name: str) -> list[str]:
    """Return what the page gives to a user of Redis, with the password of the tests."""
    words = written(name)
    assert words[:2] == ["ACL", "SETUSER"]
    return [word.replace(">PASSWORD", f">{PASSWORD}") for word in words[3:]]


def set_user(client: Any, user: str, words: list[str]) -> None:
    """Make a user of Redis with just these rights."""
    client.execute_command("ACL", "SETUSER", user, *words)
