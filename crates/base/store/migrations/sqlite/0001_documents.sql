-- Documents, ordered by the bytes of their names.
CREATE TABLE levada_documents (
    space TEXT NOT NULL COLLATE BINARY,
    key TEXT NOT NULL COLLATE BINARY,
    value BLOB NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (space, key)
) STRICT, WITHOUT ROWID;

-- The version that was given out last, in one row.
CREATE TABLE levada_documents_version (
    one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    version INTEGER NOT NULL
) STRICT;
INSERT INTO levada_documents_version (one, version) VALUES (1, 0);
