"""
Keep the revision in a table of our own, `kplus_cancel_version`.

`alembic_version` is that of every program with Alembic: in a database that is shared, one took the
other's revision for its own. The table is made before the first migration, with the revision that
our tables show (worker/store/schema/versions.py). An `alembic_version` that was ours stays, with
this revision for good: the version before takes it for one of a newer release, and goes on. Once
it is gone the table may be dropped. One of others is neither read nor written.

No table changes, and nobody waits.

Revision: kplus_0017, after kplus_0016.
"""

from alembic import op

revision = "kplus_0017"
down_revision = "kplus_0016"
branch_labels = None
depends_on = None

# A script (`--sql`) cannot look into the database when it is written.
_IN_A_SCRIPT = """
DO $do$
BEGIN
    IF pg_catalog.to_regclass('kplus_cancel_version') IS NULL THEN
        CREATE TABLE kplus_cancel_version (
            version_num varchar(32) NOT NULL CONSTRAINT kplus_cancel_version_pkc PRIMARY KEY
        );
        INSERT INTO kplus_cancel_version VALUES ('kplus_0016');
        UPDATE alembic_version SET version_num = 'kplus_0017' WHERE version_num = '0016';
    END IF;
END
$do$
"""


def upgrade() -> None:
    """Do nothing but for a script: the table is there."""
    if op.get_context().as_sql and op.get_bind().dialect.name == "postgresql":
        op.execute(_IN_A_SCRIPT)


def downgrade() -> None:
    """Do nothing: after the last step `alembic_version` has the revision again."""
