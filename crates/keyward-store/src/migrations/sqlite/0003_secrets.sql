-- Secrets, and who refers to them. The same steps stand in the postgres folder.

CREATE TABLE secrets (
    id TEXT NOT NULL PRIMARY KEY,
    account TEXT NOT NULL REFERENCES accounts (id),
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    enabled BIGINT NOT NULL,
    valid_until BIGINT,
    -- Where its value is, where it may be sent, who may use it and who may read it: JSON.
    doc TEXT NOT NULL,
    -- Counts its values. Sealed, unless it is held elsewhere.
    version BIGINT NOT NULL,
    value BLOB,
    rotated BIGINT NOT NULL,
    last_used BIGINT,
    -- The value before, and until when it still proves who calls.
    previous_version BIGINT,
    previous BLOB,
    previous_until BIGINT,
    previous_last_used BIGINT,
    revision BIGINT NOT NULL,
    created BIGINT NOT NULL,
    changed BIGINT NOT NULL,
    UNIQUE (account, name)
);
CREATE INDEX secrets_by_account ON secrets (account, id);

-- Counted, never stored: how many refer to a secret is how many rows there are.
CREATE TABLE secret_references (
    secret TEXT NOT NULL REFERENCES secrets (id),
    noun TEXT NOT NULL,
    object TEXT NOT NULL,
    field TEXT NOT NULL,
    PRIMARY KEY (secret, noun, object, field)
);
CREATE INDEX secret_references_by_object ON secret_references (object, noun);
