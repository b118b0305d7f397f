"""The history of the schema, and the upgrade to its newest revision.

A revision in `versions` is never changed after its release; it imports nothing of today's schema.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, delete, insert

from understudy.storage import schema


def configuration(connection: Connection) -> Config:
    """Return the configuration of Alembic for these scripts on an open connection."""
    config = Config(attributes={"connection": connection})
    # ConfigParser reads % as the start of an interpolation
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config


def upgrade(connection: Connection) -> None:
    """Upgrade the database to the newest revision, in the connection's transaction."""
    command.upgrade(configuration(connection), "head")
    connection.execute(delete(schema.compatibility))
    connection.execute(insert(schema.compatibility).values(oldest_revision=schema.OLDEST))
