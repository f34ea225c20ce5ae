-- Everything that Keyward knows. The same tables stand in the sqlite folder; only the types of the two differ:
-- flags and times (UTC milliseconds) are BIGINT, documents JSON in TEXT (in byte order), ids TEXT, sealed values and digests BYTEA.

CREATE TABLE meta (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    value TEXT COLLATE "C" NOT NULL
);

-- One row: whoever changes something locks it, so the order of commits is the order of revisions.
CREATE TABLE head (
    only_row BIGINT NOT NULL PRIMARY KEY CHECK (only_row = 1),
    revision BIGINT NOT NULL,
    audit_seq BIGINT NOT NULL,
    audit_hash BYTEA NOT NULL
);

CREATE TABLE accounts (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL UNIQUE,
    description TEXT COLLATE "C" NOT NULL,
    enabled BIGINT NOT NULL,
    reveal BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    created BIGINT NOT NULL,
    changed BIGINT NOT NULL
);

-- The key under which an account's secrets are sealed, wrapped by the master key.
CREATE TABLE account_keys (
    account TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    version BIGINT NOT NULL,
    wrapped BYTEA NOT NULL,
    PRIMARY KEY (account, version)
);

CREATE TABLE gateways (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL UNIQUE,
    description TEXT COLLATE "C" NOT NULL,
    doc TEXT COLLATE "C" NOT NULL,
    revision BIGINT NOT NULL,
    created BIGINT NOT NULL,
    changed BIGINT NOT NULL
);

CREATE TABLE services (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    account TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    name TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C" NOT NULL,
    enabled BIGINT NOT NULL,
    doc TEXT COLLATE "C" NOT NULL,
    auth_value BYTEA,
    auth_version BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    created BIGINT NOT NULL,
    changed BIGINT NOT NULL,
    UNIQUE (account, name)
);

CREATE TABLE apis (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    account TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    name TEXT COLLATE "C" NOT NULL,
    doc TEXT COLLATE "C" NOT NULL,
    revision BIGINT NOT NULL,
    created BIGINT NOT NULL,
    changed BIGINT NOT NULL,
    UNIQUE (account, name)
);

CREATE TABLE api_gateways (
    api TEXT COLLATE "C" NOT NULL REFERENCES apis (id),
    gateway TEXT COLLATE "C" NOT NULL REFERENCES gateways (id),
    PRIMARY KEY (api, gateway)
);
CREATE INDEX api_gateways_by_gateway ON api_gateways (gateway);

CREATE TABLE api_stages (
    api TEXT COLLATE "C" NOT NULL REFERENCES apis (id),
    stage TEXT COLLATE "C" NOT NULL,
    service TEXT COLLATE "C" NOT NULL REFERENCES services (id),
    path_prefix TEXT COLLATE "C",
    host TEXT COLLATE "C",
    PRIMARY KEY (api, stage)
);
CREATE INDEX api_stages_by_service ON api_stages (service);

-- Applications and consumers.
CREATE TABLE callers (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    account TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    kind TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C" NOT NULL,
    enabled BIGINT NOT NULL,
    tags TEXT COLLATE "C" NOT NULL,
    extension TEXT COLLATE "C",
    sources TEXT COLLATE "C" NOT NULL,
    revision BIGINT NOT NULL,
    created BIGINT NOT NULL,
    changed BIGINT NOT NULL,
    UNIQUE (account, kind, name)
);

CREATE TABLE credentials (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    caller TEXT COLLATE "C" NOT NULL REFERENCES callers (id),
    account TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    kind TEXT COLLATE "C" NOT NULL,
    enabled BIGINT NOT NULL,
    valid_until BIGINT,
    origin TEXT COLLATE "C" NOT NULL,
    app_key TEXT COLLATE "C",
    app_key_folded TEXT COLLATE "C",
    scheme TEXT COLLATE "C",
    is_default BIGINT NOT NULL,
    digest BYTEA,
    digest_version BIGINT NOT NULL,
    claim_name TEXT COLLATE "C",
    claim_value TEXT COLLATE "C",
    doc TEXT COLLATE "C",
    hint TEXT COLLATE "C",
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
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    account TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    name TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C" NOT NULL,
    enabled BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    created BIGINT NOT NULL,
    changed BIGINT NOT NULL,
    UNIQUE (account, name)
);

CREATE TABLE group_members (
    group_id TEXT COLLATE "C" NOT NULL REFERENCES caller_groups (id),
    caller TEXT COLLATE "C" NOT NULL REFERENCES callers (id),
    PRIMARY KEY (group_id, caller)
);
CREATE INDEX group_members_by_caller ON group_members (caller);

CREATE TABLE grants (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    account TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    caller TEXT COLLATE "C" REFERENCES callers (id),
    group_id TEXT COLLATE "C" REFERENCES caller_groups (id),
    api TEXT COLLATE "C" NOT NULL REFERENCES apis (id),
    stages BIGINT NOT NULL,
    gateways TEXT COLLATE "C",
    operations TEXT COLLATE "C",
    valid_from BIGINT,
    valid_until BIGINT,
    revoked BIGINT,
    description TEXT COLLATE "C" NOT NULL,
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
    noun TEXT COLLATE "C" NOT NULL,
    object TEXT COLLATE "C" NOT NULL,
    gone BIGINT NOT NULL,
    PRIMARY KEY (revision, place)
);

-- Who did what. Each entry's hash covers the entry and the hash before it, under a key that is not in the database.
CREATE TABLE audit (
    seq BIGINT NOT NULL PRIMARY KEY,
    revision BIGINT NOT NULL,
    at BIGINT NOT NULL,
    actor TEXT COLLATE "C" NOT NULL,
    action TEXT COLLATE "C" NOT NULL,
    touch TEXT COLLATE "C" NOT NULL,
    noun TEXT COLLATE "C" NOT NULL,
    object TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C",
    detail TEXT COLLATE "C" NOT NULL,
    key_version BIGINT NOT NULL,
    prev_hash BYTEA NOT NULL,
    hash BYTEA NOT NULL
);
CREATE INDEX audit_by_object ON audit (object);
