"""
The rules of a job's row as one function of PostgreSQL, which one CHECK calls.

PostgreSQL reads the text of each CHECK anew with every statement: the fifteen of a job took more
than half of the time of its writes (docs/explanation/performance.md). A function is read once a
session. It refuses a row with the words and the name of the CHECK that the rule would be.
"""

import re
from collections.abc import Mapping

from sqlalchemy import DDL, CheckConstraint, Table, event
from sqlalchemy.dialects import postgresql

FUNCTION = "kplus_job_is_sound"
CONSTRAINT = "sound"
_WORD = re.compile(r"\w+")

# A CASE ends at the first rule that is broken. A rule that is NULL is kept, as by a CHECK.
_BODY = """
DECLARE
    broken CONSTANT text := CASE
{cases}
    END;
BEGIN
    IF broken IS NULL THEN
        RETURN true;
    END IF;
    RAISE EXCEPTION 'new row for relation "cancel_jobs" violates check constraint "%"', broken
    USING ERRCODE = 'check_violation', TABLE = 'cancel_jobs', CONSTRAINT = broken;
END
"""
# Whatever the caller's search_path: its operators are PostgreSQL's. Everybody may call it, because
# a CHECK runs with the rights of who writes the row, and it reads nothing but its arguments.
_CREATE = """
CREATE OR REPLACE FUNCTION {name}({parameters}) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $body${body}$body$;
GRANT EXECUTE ON FUNCTION {name} TO PUBLIC
"""


def hold(table: Table, rules: Mapping[str, str]) -> None:
    """Let PostgreSQL hold these rules, conditions by name, whenever the table is created."""
    named = [column for column in table.c if _mentions(rules, column.name)]
    call = f"{FUNCTION}({', '.join(column.name for column in named)})"
    check = CheckConstraint(call, name=CONSTRAINT, info={"only": "postgresql"})
    table.append_constraint(check.ddl_if(dialect="postgresql"))
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    parameters = {column.name: column.type.compile(dialect) for column in named}
    create = create_function(parameters, {f"ck_{table.name}_{name}": rules[name] for name in rules})
    made = DDL(create.replace("%", "%%"))  # type: ignore[no-untyped-call]
    event.listen(table, "before_create", made.execute_if(dialect="postgresql"))


def create_function(parameters: Mapping[str, str], rules: Mapping[str, str]) -> str:
    """Return the statements that make the function; `parameters` are columns with their types."""
    cases = "\n".join(
        f"        WHEN ({rule}) IS FALSE THEN '{name}'" for name, rule in rules.items()
    )
    return _CREATE.format(
        name=FUNCTION,
        parameters=", ".join(f"{name} {kind}" for name, kind in parameters.items()),
        body=_BODY.format(cases=cases),
    )


def _mentions(rules: Mapping[str, str], name: str) -> bool:
    return any(name in _WORD.findall(rule) for rule in rules.values())
