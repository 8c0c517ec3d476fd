"""
The rules of a job's row as one function of PostgreSQL, which one CHECK calls.

PostgreSQL reads the text of each CHECK anew with every statement: the fifteen of a job took more
than half of the time of its writes (docs/adr/0030). A function is read once a session. It refuses
a row with the words and the name of the CHECK that the rule would be.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import DDL, CheckConstraint, Table, event
from sqlalchemy.dialects import postgresql

FUNCTION = "kplus_job_is_sound"
CONSTRAINT = "sound"
CONFIG = ("search_path=pg_catalog, pg_temp",)
"""The settings under which it runs, as PostgreSQL lists them."""
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


@dataclass(frozen=True, slots=True)
class Function:
    """The function of a table: `parameters` are columns with their types, `rules` conditions."""

    parameters: Mapping[str, str]
    rules: Mapping[str, str]

    @property
    def body(self) -> str:
        """Return its body. The rules are tried in the order in which PostgreSQL tries CHECKs."""
        cases = (
            f"        WHEN ({rule}) IS FALSE THEN '{name}'"
            for name, rule in sorted(self.rules.items())
        )
        return _BODY.format(cases="\n".join(cases))

    def create(self, name: str = FUNCTION) -> str:
        """Return the statements that make it, or make it anew; `name` may name its schema."""
        signature = ", ".join(f"{column} {kind}" for column, kind in self.parameters.items())
        return _CREATE.format(name=name, parameters=signature, body=self.body)


def hold(table: Table, rules: Mapping[str, str]) -> None:
    """Let PostgreSQL hold these rules, conditions by name, whenever the table is created."""
    named = [column for column in table.c if _mentions(rules, column.name)]
    call = f"{FUNCTION}({', '.join(column.name for column in named)})"
    check = CheckConstraint(call, name=CONSTRAINT, info={"only": "postgresql"})
    table.append_constraint(check.ddl_if(dialect="postgresql"))
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    function = table.info[FUNCTION] = Function(
        {column.name: column.type.compile(dialect) for column in named},
        {f"ck_{table.name}_{name}": rule for name, rule in rules.items()},
    )
    made = DDL(function.create().replace("%", "%%"))  # type: ignore[no-untyped-call]
    event.listen(table, "before_create", made.execute_if(dialect="postgresql"))


def _mentions(rules: Mapping[str, str], name: str) -> bool:
    return any(name in _WORD.findall(rule) for rule in rules.values())
