"""
The hand-written SQL of a job: one statement that claims, and one that settles.

Each is one round trip, and commits by itself: nobody can write the job with less.
"""

CLAIM = """
UPDATE cancel_jobs
SET state = 'in_flight', attempts = attempts + 1, lease_id = %(lease_id)s,
    lease_ends_at = now() + interval '90 seconds', updated_at = now()
WHERE partner_txn_uid = %(uid)s AND state = 'pending'
RETURNING partner_id, token_id, reference1
"""

SETTLE = """
WITH settled AS (
    UPDATE cancel_jobs
    SET state = 'succeeded', status_code = %(status_code)s, token_status = %(token_status)s,
        lease_id = NULL, lease_ends_at = NULL, updated_at = now(), finished_at = now()
    WHERE partner_txn_uid = %(uid)s AND state = 'in_flight' AND lease_id = %(lease_id)s
    RETURNING partner_txn_uid, attempts
), attempt AS (
    INSERT INTO cancel_attempts
        (partner_txn_uid, number, started_at, finished_at, http_status, status_code)
    SELECT partner_txn_uid, attempts, %(started_at)s, now(), %(http_status)s, %(status_code)s
    FROM settled
)
INSERT INTO token_statuses
    (partner_txn_uid, number, position, token_id, status, observed_at)
SELECT partner_txn_uid, attempts, 0, %(token_id)s, %(token_status)s, now()
FROM settled
"""
