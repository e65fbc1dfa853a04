-- Documents, ordered by the bytes of their names.
CREATE TABLE levada_documents (
    space text NOT NULL COLLATE "C",
    key text NOT NULL COLLATE "C",
    value bytea NOT NULL,
    version bigint NOT NULL,
    PRIMARY KEY (space, key)
);

-- The version that was given out last, in one row. Whoever changes documents locks the row first.
CREATE TABLE levada_documents_version (
    one integer NOT NULL PRIMARY KEY CHECK (one = 1),
    version bigint NOT NULL
) WITH (fillfactor = 10);
INSERT INTO levada_documents_version (one, version) VALUES (1, 0);
