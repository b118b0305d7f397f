"""The tables of the first release, those of `schema.py`, with what each database has beside them.

The next revision, which changes them for those who have that release, writes them out here first.
"""

from alembic import op

from understudy.storage import schema

revision = "0037"
down_revision = None
branch_labels = None
depends_on = None

_EXPIRED = "old.at < COALESCE((SELECT MAX(before) FROM audit_retention), 0)"
# Words are folded already: every character that is not ASCII belongs to one. No positions, as nothing asks for any.
_SQLITE = (
    """
    CREATE VIRTUAL TABLE words_index
    USING fts5(text, content='words', content_rowid='number', tokenize='ascii', detail='none')
    """,
    """
    CREATE TRIGGER words_added AFTER INSERT ON words BEGIN
        INSERT INTO words_index (rowid, text) VALUES (new.number, new.text);
    END
    """,
    """
    CREATE TRIGGER words_removed AFTER DELETE ON words BEGIN
        INSERT INTO words_index (words_index, rowid, text) VALUES ('delete', old.number, old.text);
    END
    """,
    """
    CREATE TRIGGER audit_once BEFORE INSERT ON audit
    WHEN EXISTS (SELECT 1 FROM audit WHERE number = new.number OR id = new.id) BEGIN
        SELECT RAISE(IGNORE);
    END
    """,
    """
    CREATE TRIGGER audit_unchanged BEFORE UPDATE ON audit BEGIN
        SELECT RAISE(ABORT, 'entries of the audit log cannot be changed');
    END
    """,
    f"""
    CREATE TRIGGER audit_kept BEFORE DELETE ON audit WHEN NOT ({_EXPIRED}) BEGIN
        SELECT RAISE(ABORT, 'entries of the audit log cannot be deleted');
    END
    """,
)
_POSTGRESQL = (
    "CREATE INDEX words_index ON words USING gin (array_to_tsvector(string_to_array(text, ' ')))",
    # Most files are compressed already, and trying it costs more than all the rest of storing them.
    "ALTER TABLE file_parts ALTER COLUMN body SET STORAGE EXTERNAL",
    f"""
    CREATE OR REPLACE FUNCTION audit_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'DELETE' THEN
            IF {_EXPIRED} THEN
                RETURN old;
            END IF;
        END IF;
        RAISE EXCEPTION 'entries of the audit log cannot be changed or deleted';
    END $$
    """,
    """
    CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON audit
    FOR EACH ROW EXECUTE FUNCTION audit_append_only()
    """,
    """
    CREATE TRIGGER audit_not_truncated BEFORE TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only()
    """,
)


def upgrade() -> None:
    """Make all of it."""
    connection = op.get_bind()
    schema.whole().create_all(connection, checkfirst=False)
    for statement in _SQLITE if connection.dialect.name == "sqlite" else _POSTGRESQL:
        op.execute(statement)
