"""
Keep the short code that stood at the end of an answer's errorDesc, of which we keep the beginning.

Stored answers are judged again by it. The column may be null, so that a worker of the version
before goes on beside this one.

Revision: 0003, after 0002.
"""

import sqlalchemy as sa
from alembic import op

revision = "kplus_0003"
down_revision = "kplus_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("cancel_attempts", sa.Column("short_code", sa.String(length=200), nullable=True))


def downgrade() -> None:
    """Take it back: stored answers that were understood by it alone are not any more."""
    op.drop_column("cancel_attempts", "short_code")
