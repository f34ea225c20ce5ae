-- Modules: WebAssembly that was uploaded. Plugins: what is done to calls, by a module or by what is built in. The same steps stand in the sqlite folder.

CREATE TABLE modules (
    id TEXT NOT NULL PRIMARY KEY,
    account TEXT NOT NULL REFERENCES accounts (id),
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    enabled BIGINT NOT NULL,
    -- What it may use, see and call: JSON.
    doc TEXT NOT NULL,
    -- Sealed, so that nobody puts other code in its place.
    wasm BYTEA NOT NULL,
    wasm_version BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    created BIGINT NOT NULL,
    changed BIGINT NOT NULL,
    UNIQUE (account, name)
);
CREATE INDEX modules_by_account ON modules (account, id);

CREATE TABLE plugins (
    id TEXT NOT NULL PRIMARY KEY,
    account TEXT NOT NULL REFERENCES accounts (id),
    -- A built-in, or a custom one by its name.
    plugin TEXT NOT NULL,
    -- What it is bound to: a gateway; or an API, or an operation of one (JSON).
    gateway TEXT REFERENCES gateways (id),
    api TEXT REFERENCES apis (id),
    operation TEXT,
    place BIGINT NOT NULL,
    enabled BIGINT NOT NULL,
    description TEXT NOT NULL,
    -- The services that its configuration names, with their ids: JSON.
    services TEXT NOT NULL,
    -- Sealed as a whole: it may have secrets written out in it.
    config BYTEA NOT NULL,
    config_version BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    created BIGINT NOT NULL,
    changed BIGINT NOT NULL,
    CHECK ((gateway IS NULL) <> (api IS NULL))
);
CREATE INDEX plugins_by_account ON plugins (account, id);
CREATE INDEX plugins_by_api ON plugins (api, id);
CREATE INDEX plugins_by_gateway ON plugins (gateway, id);
