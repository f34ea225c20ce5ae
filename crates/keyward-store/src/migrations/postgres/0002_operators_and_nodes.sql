-- Operators, several nodes, and what is known of use. The same steps stand in the sqlite folder.

ALTER TABLE accounts ADD COLUMN grant_validity_max_s BIGINT;

-- Whose a credential is, and whom a grant is for: who follows must know it of those that are gone.
ALTER TABLE change_log ADD COLUMN owner TEXT COLLATE "C";

-- Of a rotation: the first credential of the line, kept by all that follow it.
ALTER TABLE credentials ADD COLUMN lineage TEXT COLLATE "C";

-- Of a JWT whose key set is fetched: from where, and how often.
ALTER TABLE credentials ADD COLUMN jwks_url TEXT COLLATE "C";
ALTER TABLE credentials ADD COLUMN jwks_refresh_s BIGINT;

-- Could its value be guessed? Of given values only.
ALTER TABLE credentials ADD COLUMN weak BIGINT NOT NULL DEFAULT 0;

ALTER TABLE grants ADD COLUMN granted_by TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE grants ADD COLUMN last_used BIGINT;
-- The account of the caller that a grant is for, where it is not the one that gave it.
ALTER TABLE grants ADD COLUMN grantee_account TEXT;
UPDATE grants SET grantee_account =
    (SELECT account FROM callers WHERE callers.id = grants.caller AND callers.account <> grants.account);

-- Who operates. The password is an argon2id PHC string; absent: no sign-in by password.
CREATE TABLE operators (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL UNIQUE,
    description TEXT COLLATE "C" NOT NULL,
    enabled BIGINT NOT NULL,
    password TEXT COLLATE "C",
    revision BIGINT NOT NULL,
    created BIGINT NOT NULL,
    changed BIGINT NOT NULL
);

-- What an operator may do where; an empty account is everywhere.
CREATE TABLE operator_roles (
    operator TEXT COLLATE "C" NOT NULL REFERENCES operators (id),
    account TEXT COLLATE "C" NOT NULL,
    role TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (operator, account)
);
CREATE INDEX operator_roles_by_account ON operator_roles (account);

-- Who an operator is at an OpenID provider.
CREATE TABLE operator_identities (
    issuer TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    operator TEXT COLLATE "C" NOT NULL REFERENCES operators (id),
    PRIMARY KEY (issuer, subject)
);
CREATE INDEX operator_identities_by_operator ON operator_identities (operator);

-- Tokens of operators, by keyed digest. `scope` narrows what the operator may do: JSON.
CREATE TABLE operator_tokens (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    operator TEXT COLLATE "C" NOT NULL REFERENCES operators (id),
    name TEXT COLLATE "C" NOT NULL,
    digest BYTEA NOT NULL UNIQUE,
    hint TEXT COLLATE "C" NOT NULL,
    scope TEXT COLLATE "C" NOT NULL,
    valid_until BIGINT NOT NULL,
    last_used BIGINT,
    revision BIGINT NOT NULL,
    created BIGINT NOT NULL,
    changed BIGINT NOT NULL
);
CREATE INDEX operator_tokens_by_operator ON operator_tokens (operator);

-- Signed-in browsers, by keyed digest of their cookie. Neither revision nor audit.
CREATE TABLE operator_sessions (
    digest BYTEA NOT NULL PRIMARY KEY,
    operator TEXT COLLATE "C" NOT NULL REFERENCES operators (id),
    csrf TEXT COLLATE "C" NOT NULL,
    created BIGINT NOT NULL,
    last_seen BIGINT NOT NULL,
    valid_until BIGINT NOT NULL
);
CREATE INDEX operator_sessions_by_operator ON operator_sessions (operator);

-- Sign-ins through a provider that are over, by keyed digest, as long as their like could be tried again.
CREATE TABLE spent_sign_ins (
    digest BYTEA NOT NULL PRIMARY KEY,
    valid_until BIGINT NOT NULL
);

-- The one-time way in of a store without operators.
CREATE TABLE bootstrap (
    only_row BIGINT NOT NULL PRIMARY KEY CHECK (only_row = 1),
    digest BYTEA NOT NULL,
    valid_until BIGINT NOT NULL
);

-- Nodes that follow this store, and the revision that each has applied.
CREATE TABLE nodes (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL,
    gateway TEXT COLLATE "C" NOT NULL,
    version TEXT COLLATE "C" NOT NULL,
    admin TEXT COLLATE "C" NOT NULL,
    started BIGINT NOT NULL,
    last_seen BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    -- What is not well with it; empty: nothing.
    trouble TEXT NOT NULL DEFAULT ''
);

-- Answers to writes with an Idempotency-Key, kept for a day, sealed.
CREATE TABLE idempotency (
    scope TEXT COLLATE "C" NOT NULL,
    idempotency_key TEXT COLLATE "C" NOT NULL,
    body_digest BYTEA NOT NULL,
    answer BYTEA NOT NULL,
    created BIGINT NOT NULL,
    PRIMARY KEY (scope, idempotency_key)
);
CREATE INDEX idempotency_by_age ON idempotency (created);

-- Calls per day (UTC, days since 1970), caller, API and outcome (empty: passed; else the reason).
CREATE TABLE usage_days (
    day BIGINT NOT NULL,
    caller TEXT COLLATE "C" NOT NULL,
    api TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    calls BIGINT NOT NULL,
    last BIGINT NOT NULL,
    PRIMARY KEY (day, caller, api, reason)
);
CREATE INDEX usage_days_by_api ON usage_days (api, day, caller, reason);
CREATE INDEX usage_days_by_caller ON usage_days (caller, day, api, reason);

-- Key sets fetched from the address that a consumer names.
CREATE TABLE fetched_key_sets (
    url TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    document TEXT COLLATE "C",
    fetched BIGINT,
    -- Of the last attempt, if it failed.
    failed BIGINT,
    error TEXT COLLATE "C"
);

-- Pages of long lists begin where the one before ended.
CREATE INDEX callers_by_kind ON callers (kind, id);
CREATE INDEX callers_by_account ON callers (account, kind, id);
CREATE INDEX callers_by_kind_name ON callers (kind, name, id);
-- Disabled callers are few, and looked for among very many.
CREATE INDEX callers_disabled ON callers (kind, id) WHERE enabled = 0;
CREATE INDEX callers_disabled_by_name ON callers (kind, name, id) WHERE enabled = 0;
CREATE INDEX callers_disabled_by_account ON callers (account, kind, enabled, id) WHERE enabled = 0;
CREATE INDEX callers_by_account_alone ON callers (account, id);
CREATE INDEX services_by_account ON services (account, id);
CREATE INDEX apis_by_account ON apis (account, id);
CREATE INDEX caller_groups_by_account ON caller_groups (account, id);
CREATE INDEX grants_by_account ON grants (account, id);
CREATE INDEX grants_by_grantee_account ON grants (grantee_account, id) WHERE grantee_account IS NOT NULL;
-- Those on one API, or for one caller or group, can be a million, and are listed in the order of their ids.
DROP INDEX grants_by_api;
CREATE INDEX grants_by_api ON grants (api, id);
DROP INDEX grants_by_caller;
CREATE INDEX grants_by_caller ON grants (caller, id);
DROP INDEX grants_by_group;
CREATE INDEX grants_by_group ON grants (group_id, id);
CREATE INDEX credentials_by_account ON credentials (account, id);
CREATE INDEX credentials_by_until ON credentials (valid_until) WHERE valid_until IS NOT NULL;
CREATE INDEX credentials_by_jwks_url ON credentials (jwks_url) WHERE jwks_url IS NOT NULL;
CREATE INDEX credentials_by_lineage ON credentials (lineage) WHERE lineage IS NOT NULL;
DROP INDEX audit_by_object;
CREATE INDEX audit_by_object ON audit (object, seq);
CREATE INDEX audit_by_account ON audit (account, seq);
CREATE INDEX audit_by_actor ON audit (actor, seq);
CREATE INDEX audit_by_noun ON audit (noun, seq);
