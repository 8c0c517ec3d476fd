"""
With KPLUS_TEST_SCHEMA=NAME the tests on PostgreSQL have our tables in that schema.

The SQL of the tests finds them by the `search_path` of their databases. That of the product must
name the schema: each of its statements is looked at before it is sent.
"""

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from traceback import walk_stack
from typing import Any, Final
from unittest import mock

from sqlalchemy import Engine, event

from worker.store import Database
from worker.store.engine.prepared import _Compiled
from worker.store.schema.tables import metadata

SETTING: Final = "KPLUS_TEST_SCHEMA"
OWN_SCHEMA: Final = os.environ.get(SETTING) or None
_BARE: Final = re.compile(rf"\b(FROM|JOIN|INTO|UPDATE)\s+({'|'.join(metadata.tables)})\b")

_PASSED_THROUGH: Final = (__file__, "/sqlalchemy/", "/contextlib", "/store/engine/database.py")
"""A test's own SQL takes this way too."""


@contextmanager
def in_own_schema() -> Iterator[None]:
    """Let every database that this process opens have its tables there, if one is set."""
    with ExitStack() as stack:
        if OWN_SCHEMA is not None:
            stack.enter_context(mock.patch.object(Database, "__init__", _opened))
            stack.enter_context(mock.patch.object(_Compiled, "run", _run))
            event.listen(Engine, "before_cursor_execute", _look)
            stack.callback(event.remove, Engine, "before_cursor_execute", _look)
        yield


_open, _run_it = Database.__init__, _Compiled.run


def _opened(database: Database, engine: Engine, *, clock: Any = None, schema: Any = None) -> None:
    _open(database, engine, clock=clock, schema=schema or OWN_SCHEMA)


def _run(compiled: Any, *given: Any) -> Any:
    assert _BARE.search(vars(compiled)["_sql"]) is None, vars(compiled)["_sql"]
    return _run_it(compiled, *given)


def _look(connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
    if connection.dialect.name == "postgresql" and _is_of_the_product():
        assert _BARE.search(statement) is None, statement


def _is_of_the_product() -> bool:
    """Say whether the code that sends a statement is ours, and no test's nor a migration's."""
    files = (frame.f_code.co_filename for frame, _ in walk_stack(None))
    sender = next(file for file in files if not any(part in file for part in _PASSED_THROUGH))
    return "/worker/" in sender
