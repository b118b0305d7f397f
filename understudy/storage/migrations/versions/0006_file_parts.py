"""The bytes of uploaded files may be in the database, where every server that shares it has them."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "file_parts",
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("file_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "file_id", "number", name="pk_file_parts"),
        sa.ForeignKeyConstraint(
            ["owner", "file_id"],
            ["files.owner", "files.id"],
            name="fk_file_parts_owner_file_id_files",
            ondelete="CASCADE",
        ),
    )
    if op.get_bind().dialect.name == "postgresql":
        # Most files are compressed already, and trying it costs more than all the rest of storing them.
        op.execute("ALTER TABLE file_parts ALTER COLUMN body SET STORAGE EXTERNAL")


def downgrade() -> None:
    """Remove it, with what it holds."""
    op.drop_table("file_parts")
