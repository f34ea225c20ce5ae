-- Everything that Keyward knows. The same tables stand in the sqlite folder; only the types of the two differ:
-- flags and times (UTC milliseconds) are BIGINT, documents JSON in TEXT, ids TEXT, sealed values and digests BYTEA.

CREATE TABLE meta (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

-- One row: whoever changes something locks it, so the order of commits is the order of revisions.
CREATE TABLE head (
    only_row BIGINT NOT NULL PRIMARY KEY CHECK (only_row = 1),
    revision BIGINT NOT NULL,
    audit_seq BIGINT NOT NULL,
    audit_hash BYTEA NOT NULL
);

CREATE TABLE accounts (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    description TEXT NOT NULL,
    enabled BIGINT NOT NULL,
    reveal BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    created BIGINT NOT NULL,
    changed BIGINT NOT NULL
);

-- The key under which an account's secrets are sealed, wrapped by the master key.
CREATE TABLE account_keys (
    account TEXT NOT NULL REFERENCES accounts (id),
    version BIGINT NOT NULL,
    wrapped BYTEA NOT NULL,
    PRIMARY KEY (account, version)
);

CREATE TABLE gateways (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    description TEXT NOT NULL,
    doc TEXT NOT NULL,
    revision BIGINT NOT NULL,
    created BIGINT NOT NULL,
    changed BIGINT NOT NULL
);

CREATE TABLE services (
    id TEXT NOT NULL PRIMARY KEY,
    account TEXT NOT NULL REFERENCES accounts (id),
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    enabled BIGINT NOT NULL,
    doc TEXT NOT NULL,
    auth_value BYTEA,
    auth_version BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    created BIGINT NOT NULL,
    changed BIGINT NOT NULL,
    UNIQUE (account, name)
);

CREATE TABLE apis (
    id TEXT NOT NULL PRIMARY KEY,
    account TEXT NOT NULL REFERENCES accounts (id),
    name TEXT NOT NULL,
    doc TEXT NOT NULL,
    revision BIGINT NOT NULL,
    created BIGINT NOT NULL,
    changed BIGINT NOT NULL,
    UNIQUE (account, name)
);

CREATE TABLE api_gateways (
    api TEXT NOT NULL REFERENCES apis (id),
    gateway TEXT NOT NULL REFERENCES gateways (id),
    PRIMARY KEY (api, gateway)
);
CREATE INDEX api_gateways_by_gateway ON api_gateways (gateway);

CREATE TABLE api_stages (
    api TEXT NOT NULL REFERENCES apis (id),
    stage TEXT NOT NULL,
    service TEXT NOT NULL REFERENCES services (id),
    path_prefix TEXT,
    host TEXT,
    PRIMARY KEY (api, stage)
);
CREATE INDEX api_stages_by_service ON api_stages (service);

-- Applications and consumers.
CREATE TABLE callers (
    id TEXT NOT NULL PRIMARY KEY,
    account TEXT NOT NULL REFERENCES accounts (id),
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    enabled BIGINT NOT NULL,
    tags TEXT NOT NULL,
    extension TEXT,
    sources TEXT NOT NULL,
    revision BIGINT NOT NULL,
    created BIGINT NOT NULL,
    changed BIGINT NOT NULL,
    UNIQUE (account, kind, name)
);

CREATE TABLE credentials (
    id TEXT NOT NULL PRIMARY KEY,
    caller TEXT NOT NULL REFERENCES callers (id),
    account TEXT NOT NULL REFERENCES accounts (id),
    kind TEXT NOT NULL,
    enabled BIGINT NOT NULL,
    valid_until BIGINT,
    origin TEXT NOT NULL,
    app_key TEXT,
    app_key_folded TEXT,
    scheme TEXT,
    is_default BIGINT NOT NULL,
    digest BYTEA,
    digest_version BIGINT NOT NULL,
    claim_name TEXT,
    claim_value TEXT,
    doc TEXT,
    hint TEXT,
    sealed BYTEA,
    sealed_version BIGINT NOT NULL,
    last_used BIGINT,
    revision BIGINT NOT NULL,
    created BIGINT NOT NULL,
    changed BIGINT NOT NULL
);
CREATE INDEX credentials_by_caller ON credentials (caller);
CREATE UNIQUE INDEX credentials_by_app_key ON credentials (app_key_folded);
CREATE UNIQUE INDEX credentials_by_digest ON credentials (digest);
CREATE UNIQUE INDEX credentials_by_claim ON credentials (account, claim_name, claim_value);

CREATE TABLE caller_groups (
    id TEXT NOT NULL PRIMARY KEY,
    account TEXT NOT NULL REFERENCES accounts (id),
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    enabled BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    created BIGINT NOT NULL,
    changed BIGINT NOT NULL,
    UNIQUE (account, name)
);

CREATE TABLE group_members (
    group_id TEXT NOT NULL REFERENCES caller_groups (id),
    caller TEXT NOT NULL REFERENCES callers (id),
    PRIMARY KEY (group_id, caller)
);
CREATE INDEX group_members_by_caller ON group_members (caller);

CREATE TABLE grants (
    id TEXT NOT NULL PRIMARY KEY,
    account TEXT NOT NULL REFERENCES accounts (id),
    caller TEXT REFERENCES callers (id),
    group_id TEXT REFERENCES caller_groups (id),
    api TEXT NOT NULL REFERENCES apis (id),
    stages BIGINT NOT NULL,
    gateways TEXT,
    operations TEXT,
    valid_from BIGINT,
    valid_until BIGINT,
    revoked BIGINT,
    description TEXT NOT NULL,
    revision BIGINT NOT NULL,
    created BIGINT NOT NULL,
    changed BIGINT NOT NULL,
    CHECK ((caller IS NULL) <> (group_id IS NULL))
);
CREATE INDEX grants_by_caller ON grants (caller);
CREATE INDEX grants_by_group ON grants (group_id);
CREATE INDEX grants_by_api ON grants (api);
CREATE INDEX grants_with_gateways ON grants (id) WHERE gateways IS NOT NULL;

-- What each revision changed, for those who follow.
CREATE TABLE change_log (
    revision BIGINT NOT NULL,
    place BIGINT NOT NULL,
    noun TEXT NOT NULL,
    object TEXT NOT NULL,
    gone BIGINT NOT NULL,
    PRIMARY KEY (revision, place)
);

-- Who did what. Each entry's hash covers the entry and the hash before it, under a key that is not in the database.
CREATE TABLE audit (
    seq BIGINT NOT NULL PRIMARY KEY,
    revision BIGINT NOT NULL,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    touch TEXT NOT NULL,
    noun TEXT NOT NULL,
    object TEXT NOT NULL,
    account TEXT,
    detail TEXT NOT NULL,
    key_version BIGINT NOT NULL,
    prev_hash BYTEA NOT NULL,
    hash BYTEA NOT NULL
);
CREATE INDEX audit_by_object ON audit (object);
