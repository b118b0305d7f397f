"""The history of the schema, and the upgrade to its newest revision.

A revision in `versions` is never changed after its release; it imports nothing of today's schema.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, delete, insert

from understudy.storage import schema


def configuration(connection: Connection) -> Config:
    """Alembic's configuration for these scripts, run on an open connection."""
    config = Config(attributes={"connection": connection})
    # ConfigParser reads % as the start of an interpolation
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config


def upgrade(connection: Connection) -> None:
    """Bring the database to the newest revision, within the connection's transaction; nothing to do is fine."""
    command.upgrade(configuration(connection), "head")
    connection.execute(delete(schema.compatibility))
    connection.execute(insert(schema.compatibility).values(oldest_revision=schema.OLDEST))
