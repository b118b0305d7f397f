"""What messages say becomes searchable by words: a table of them, and an index over it in each database's own way."""

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

from understudy.storage.fulltext import searchable

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_AT_A_TIME = 500
# The words are folded already: every character that is not ASCII belongs to one. No positions, as nothing asks for any.
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
)
_POSTGRESQL = ("CREATE INDEX words_index ON words USING gin (array_to_tsvector(string_to_array(text, ' ')))",)


def upgrade() -> None:
    """Make the table and its index, with the words of all messages that are there."""
    words = op.create_table(
        "words",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("thread_id", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["owner", "message_id"],
            ["messages.owner", "messages.id"],
            name="fk_words_owner_message_id_messages",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("number", name="pk_words"),
        sa.UniqueConstraint("owner", "message_id", name="uq_words_owner_message_id"),
    )
    connection = op.get_bind()
    for statement in _SQLITE if connection.dialect.name == "sqlite" else _POSTGRESQL:
        op.execute(statement)
    for messages in _messages(connection):
        rows = [
            {"owner": owner, "message_id": name, "thread_id": thread, "text": searchable(owner, content)}
            for _, owner, name, thread, content in messages
        ]
        op.bulk_insert(words, rows)


def _messages(connection: sa.Connection) -> Iterator[Sequence[Any]]:
    """All messages, some at a time: a database may have millions."""
    page = sa.text(
        "SELECT number, owner, id, thread_id, content FROM messages WHERE number > :after ORDER BY number LIMIT :most"
    )
    after = -1
    while rows := connection.execute(page, {"after": after, "most": _AT_A_TIME}).all():
        yield rows
        after = rows[-1].number


def downgrade() -> None:
    """Remove both: a search looks through the messages themselves again."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TABLE words_index")
    op.drop_table("words")
