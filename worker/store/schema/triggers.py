"""
The triggers that let no uid become a job a second time once its first job was pruned.

They guard whoever inserts: the store, a session of the producer's own, plain SQL.
"""

from collections.abc import Mapping
from types import MappingProxyType

FUNCTION = "kplus_skip_pruned"

# Volatile, so that each statement sees what was committed before it. A prune of this very job
# that is under way is waited for: undone, its row is found; done, its tombstone is. The rights
# are the owner's: who may only insert jobs, inserts them as before. By the index alone: a plan
# made on an empty table would read all of it for each row (measured: 150 times as slow).
_POSTGRESQL = (
    """
CREATE FUNCTION kplus_skip_pruned() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT SET enable_seqscan TO off
AS $$
BEGIN
    PERFORM 1 FROM cancel_jobs
    WHERE partner_txn_uid = NEW.partner_txn_uid AND finished_at IS NOT NULL
    FOR KEY SHARE;
    IF FOUND THEN
        RETURN NEW;
    END IF;
    PERFORM 1 FROM tombstones WHERE partner_txn_uid = NEW.partner_txn_uid;
    IF FOUND THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END
$$
""",
    """
CREATE TRIGGER kplus_skip_pruned BEFORE INSERT ON cancel_jobs
FOR EACH ROW EXECUTE FUNCTION kplus_skip_pruned()
""",
)
# One writer at a time: nobody prunes between the look and the insert.
_SQLITE = (
    """
CREATE TRIGGER kplus_skip_pruned BEFORE INSERT ON cancel_jobs
WHEN EXISTS (SELECT 1 FROM tombstones WHERE partner_txn_uid = NEW.partner_txn_uid)
BEGIN
    SELECT RAISE(IGNORE);
END
""",
)

CREATE: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"postgresql": _POSTGRESQL, "sqlite": _SQLITE}
)
"""What makes them, by the kind of database."""
