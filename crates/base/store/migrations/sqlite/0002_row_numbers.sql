-- Rows have numbers of their own, and their names an index. Without numbers rows lay in the tree of names, where a large one
-- was read to its end for each comparison. What is short stands in front of the value, so that it is read without it.
CREATE TABLE levada_documents_numbered (
    space TEXT NOT NULL COLLATE BINARY,
    key TEXT NOT NULL COLLATE BINARY,
    version INTEGER NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (space, key)
) STRICT;
INSERT INTO levada_documents_numbered (space, key, version, value)
    SELECT space, key, version, value FROM levada_documents;
DROP TABLE levada_documents;
ALTER TABLE levada_documents_numbered RENAME TO levada_documents;
