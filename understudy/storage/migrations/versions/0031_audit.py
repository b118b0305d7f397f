"""The audit log: who did what to whom. Triggers refuse to change an entry, and to delete one before its time."""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

_EXPIRED = "old.at < COALESCE((SELECT MAX(before) FROM audit_retention), 0)"
_SQLITE = (
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
    """Make the tables and the triggers. What happened until now is not in the log."""
    op.create_table(
        "audit",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("way", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("target", sa.Text()),
        sa.Column("tenant", sa.Text()),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_audit"),
        sa.UniqueConstraint("id", name="uq_audit_id"),
    )
    for column in ("at", "who", "target", "tenant"):
        op.create_index(f"ix_audit_{column}", "audit", [column])
    op.create_table("audit_retention", sa.Column("before", sa.Float(), nullable=False))
    for statement in _SQLITE if op.get_bind().dialect.name == "sqlite" else _POSTGRESQL:
        op.execute(statement)


def downgrade() -> None:
    """Remove the log, with all its entries."""
    op.drop_table("audit")
    op.drop_table("audit_retention")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION audit_append_only()")
