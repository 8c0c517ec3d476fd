"""The peers' tables: as plain as the job allows, under the names that ours have."""

TABLES = """
CREATE TABLE cancel_jobs (
    partner_txn_uid varchar(64) PRIMARY KEY,
    partner_id varchar(64) NOT NULL,
    token_id varchar(64) NOT NULL,
    reference1 varchar(64) NOT NULL,
    state varchar(16) NOT NULL DEFAULT 'pending',
    attempts integer NOT NULL DEFAULT 0,
    lease_id varchar(36),
    lease_ends_at timestamptz,
    status_code varchar(64),
    token_status varchar(64),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz
);
CREATE TABLE cancel_attempts (
    partner_txn_uid varchar(64) NOT NULL REFERENCES cancel_jobs,
    number integer NOT NULL,
    started_at timestamptz NOT NULL,
    finished_at timestamptz NOT NULL,
    http_status integer NOT NULL,
    status_code varchar(64) NOT NULL,
    PRIMARY KEY (partner_txn_uid, number)
);
CREATE TABLE token_statuses (
    partner_txn_uid varchar(64) NOT NULL REFERENCES cancel_jobs,
    number integer NOT NULL,
    position integer NOT NULL,
    token_id varchar(64) NOT NULL,
    status varchar(64) NOT NULL,
    observed_at timestamptz NOT NULL,
    PRIMARY KEY (partner_txn_uid, number, position)
);
"""

INSERT = """
INSERT INTO cancel_jobs (partner_txn_uid, partner_id, token_id, reference1)
SELECT "partnerTxnUid", "partnerId", "tokenId", reference1
FROM json_to_recordset(%(orders)s::json)
    AS brought ("partnerTxnUid" text, "partnerId" text, "tokenId" text, reference1 text)
"""
"""Stores orders, given as one JSON list of them in the bank's own words."""
