"""
The triggers that keep the uid of a pruned job from becoming a job again.

They guard every insert: the store's, a producer's own session's, and plain SQL.
"""

from collections.abc import Mapping
from types import MappingProxyType

FUNCTION = "kplus_skip_pruned"

# VOLATILE: each statement sees what was committed before it. FOR KEY SHARE: a prune of this job
# that is under way is waited for; then the row is found, or the tombstone. SECURITY DEFINER: a
# role that may only insert jobs can still insert them. enable_seqscan off: a plan made on an
# empty table would read the whole table for each row (measured: 150 times as slow).
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
# One writer at a time: no prune can run between the check and the insert.
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
"""The statements that create them, by the kind of database."""
