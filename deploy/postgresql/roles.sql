-- The five roles of kplus-cancel on PostgreSQL 14 or later, each with the rights that it needs and no more.
--
-- Run it as a superuser, after `kplus-cancel db upgrade`, and again after each upgrade:
--
--     psql -v ON_ERROR_STOP=1 --single-transaction -f deploy/postgresql/roles.sql DATABASE
--
-- With KPLUS_DATABASE_SCHEMA add `-v schema=NAME`; without, it is about the tables that `search_path` finds.
-- It can be run at any time and any number of times, beside working workers.
--
-- The roles cannot log in. Make logins of your own their members, or give them a password
-- (docs/how-to/roles.md).
--
--     kplus_owner     owns the tables: `kplus-cancel db upgrade`
--     kplus_worker    `kplus-cancel worker`
--     kplus_operator  all other commands, and the console
--     kplus_reader    reports and dashboards
--     kplus_producer  the order system: `enqueue_cancel`, `enqueue_many`, plain SQL

\if :{?schema}
SELECT pg_catalog.set_config('search_path', :'schema', false);
\endif

-- The roles

DO $$ BEGIN CREATE ROLE kplus_owner; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
DO $$ BEGIN CREATE ROLE kplus_worker; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
DO $$ BEGIN CREATE ROLE kplus_operator; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
DO $$ BEGIN CREATE ROLE kplus_reader; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
DO $$ BEGIN CREATE ROLE kplus_producer; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;

-- The database and the schema. Before PostgreSQL 15 everybody may create functions and operators in
-- `public`; one that fits a statement of ours better than PostgreSQL's own would run in its place.

DO $$
DECLARE
    home CONSTANT name := pg_catalog.current_schema();
    here CONSTANT name := pg_catalog.current_database();
    everybody CONSTANT text := 'kplus_owner, kplus_worker, kplus_operator, kplus_reader, kplus_producer';
BEGIN
    EXECUTE pg_catalog.format('GRANT CONNECT ON DATABASE %I TO %s', here, everybody);
    EXECUTE pg_catalog.format('REVOKE CREATE ON SCHEMA %I FROM PUBLIC', home);
    EXECUTE pg_catalog.format('GRANT USAGE ON SCHEMA %I TO %s', home, everybody);
    EXECUTE pg_catalog.format('GRANT CREATE ON SCHEMA %I TO kplus_owner', home);
END
$$;

-- The owner. Who owned the tables before becomes its member, so that nothing that runs now stops: take that
-- back as soon as each program has a login of its own.

DO $$
DECLARE
    before CONSTANT name := (
        SELECT rolname FROM pg_catalog.pg_roles AS r JOIN pg_catalog.pg_class AS c ON c.relowner = r.oid
        WHERE c.oid = 'cancel_jobs'::pg_catalog.regclass AND NOT r.rolsuper AND rolname <> 'kplus_owner'
    );
BEGIN
    IF before IS NOT NULL THEN
        EXECUTE pg_catalog.format('GRANT kplus_owner TO %I', before);
    END IF;
END
$$;

ALTER TABLE audits OWNER TO kplus_owner;
ALTER TABLE cancel_attempts OWNER TO kplus_owner;
ALTER TABLE cancel_jobs OWNER TO kplus_owner;
ALTER TABLE endpoints OWNER TO kplus_owner;
ALTER TABLE kplus_cancel_version OWNER TO kplus_owner;
ALTER TABLE locks OWNER TO kplus_owner;
ALTER TABLE operator_actions OWNER TO kplus_owner;
ALTER TABLE outbox OWNER TO kplus_owner;
ALTER TABLE partners OWNER TO kplus_owner;
ALTER TABLE rejected_counts OWNER TO kplus_owner;
ALTER TABLE rejected_messages OWNER TO kplus_owner;
ALTER TABLE token_statuses OWNER TO kplus_owner;
ALTER TABLE tombstones OWNER TO kplus_owner;
ALTER FUNCTION kplus_job_is_sound OWNER TO kplus_owner;
ALTER FUNCTION kplus_skip_pruned() OWNER TO kplus_owner;

-- What was granted before goes, that of single columns too: below stands everything.

REVOKE ALL ON
    audits, cancel_attempts, cancel_jobs, endpoints, kplus_cancel_version, locks, operator_actions, outbox,
    partners, rejected_counts, rejected_messages, token_statuses, tombstones
FROM PUBLIC, kplus_worker, kplus_operator, kplus_reader, kplus_producer;
REVOKE ALL ON SEQUENCE audits_id_seq, operator_actions_id_seq
FROM PUBLIC, kplus_worker, kplus_operator, kplus_reader, kplus_producer;
REVOKE ALL ON FUNCTION kplus_skip_pruned() FROM PUBLIC, kplus_worker, kplus_operator, kplus_reader, kplus_producer;
-- A CHECK calls it with the rights of who writes a row; it reads nothing but its arguments.
GRANT EXECUTE ON FUNCTION kplus_job_is_sound TO PUBLIC;

-- The worker: it deletes nothing but a rejected message that gives its place to a newer one, and evidence that
-- says the same as a row that stays, into which it was folded. It has no right on operator_actions.

GRANT SELECT ON kplus_cancel_version, audits, tombstones TO kplus_worker;
GRANT SELECT, INSERT, UPDATE ON
    cancel_attempts, cancel_jobs, endpoints, locks, outbox, partners, rejected_counts, rejected_messages
TO kplus_worker;
GRANT DELETE ON cancel_attempts, rejected_messages TO kplus_worker;
GRANT SELECT, INSERT, DELETE ON token_statuses TO kplus_worker;

-- The operator: what the worker may, for one pass of the sweep, and the acts. `prune` deletes; what goes with
-- a job goes by its foreign key. A record of an act and a tombstone are never changed: UPDATE (id) lets
-- `prune` lock the records that it deletes.

GRANT SELECT ON kplus_cancel_version TO kplus_operator;
GRANT SELECT, INSERT, UPDATE ON endpoints, locks, partners TO kplus_operator;
GRANT SELECT, INSERT, UPDATE, DELETE ON
    audits, cancel_attempts, cancel_jobs, outbox, rejected_counts, rejected_messages
TO kplus_operator;
GRANT SELECT, INSERT, DELETE ON token_statuses TO kplus_operator;
GRANT SELECT, INSERT ON tombstones TO kplus_operator;
GRANT SELECT, INSERT, UPDATE (id), DELETE ON operator_actions TO kplus_operator;
GRANT USAGE ON SEQUENCE audits_id_seq, operator_actions_id_seq TO kplus_operator;

-- The reader: neither the fingerprints of credentials (partners.credentials), nor what others sent by mistake
-- (rejected_messages.body, detail), nor locks.

GRANT SELECT ON
    audits, cancel_attempts, cancel_jobs, endpoints, kplus_cancel_version, operator_actions, outbox,
    rejected_counts, token_statuses, tombstones
TO kplus_reader;
GRANT SELECT (
    partner_id, mode, reason, resume_at, failures, updated_at, proven_at, probe_id, probe_ends_at,
    second_probe_id, second_probe_ends_at, probe_uid, failed_probes, slot_at, pace, resumed_at
) ON partners TO kplus_reader;
GRANT SELECT (digest, reason, kind, place, task, partner_txn_uid, deliveries, first_at, last_at)
ON rejected_messages TO kplus_reader;

-- The producer: the order and its times, never a state. It adds rows, and changes none.

GRANT SELECT ON cancel_jobs, tombstones TO kplus_producer;
GRANT INSERT (
    partner_txn_uid, partner_id, token_id, reference1, expires_at,
    created_at, updated_at, next_attempt_at, hinted_at
) ON cancel_jobs TO kplus_producer;
GRANT INSERT (digest, reason, detail, task, partner_txn_uid, body, first_at, last_at) ON rejected_messages
TO kplus_producer;

-- What the version before reads, as long as there is one of it: an `alembic_version` that was ours, and has
-- kept this revision. One of another program is left alone.

DO $$
DECLARE
    is_ours boolean;
BEGIN
    IF pg_catalog.to_regclass('alembic_version') IS NOT NULL THEN
        EXECUTE 'SELECT EXISTS (SELECT 1 FROM alembic_version WHERE version_num = ''kplus_0017'')' INTO is_ours;
        IF is_ours THEN
            ALTER TABLE alembic_version OWNER TO kplus_owner;
            REVOKE ALL ON alembic_version
            FROM PUBLIC, kplus_worker, kplus_operator, kplus_reader, kplus_producer;
            GRANT SELECT ON alembic_version TO kplus_worker, kplus_operator, kplus_reader;
        END IF;
    END IF;
END
$$;
