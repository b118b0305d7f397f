"""The table of memberships, as the newest migration leaves it: see `memberships`."""

from sqlalchemy import Column, ForeignKeyConstraint, Index, Integer, PrimaryKeyConstraint, Table, Text

from understudy.storage.schema import metadata

# Days count from 1970, UTC; `last_day` is null while the user is in the group or role.
memberships = Table(
    "memberships",
    metadata,
    Column("owner", Text, nullable=False),
    Column("entry", Text, nullable=False),
    Column("first_day", Integer, nullable=False),
    Column("last_day", Integer),
    PrimaryKeyConstraint("owner", "entry", "first_day"),
    ForeignKeyConstraint(["owner"], ["users.id"], ondelete="CASCADE"),
    Index(None, "entry"),
    Index(None, "last_day"),
)
