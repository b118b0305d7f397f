"""The history of the schema, and the upgrade to its newest revision.

1. A revision in `versions` is never changed after its release. The first one makes the tables of `schema.py`; any
   other imports nothing of today's schema.
2. A revision only expands: releases that do not know it can use the schema after it. One that takes something away, or
   after which older code could not read what newer code writes, declares `oldest_reader`: the first revision whose
   code can. It may do so once no release is in use whose code cannot.
3. With each upgrade the database is told the newest of these declarations, so that an older release which starts on it
   knows whether it can.
"""

from importlib.metadata import version
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, delete, insert

from understudy.storage import schema


def configuration(connection: Connection) -> Config:
    """Return the configuration of Alembic for these scripts on an open connection."""
    config = Config(attributes={"connection": connection})
    # ConfigParser reads % as the start of an interpolation
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config


def oldest_reader(connection: Connection) -> str:
    """Return the oldest revision whose code can use the newest schema."""
    return _oldest_reader(ScriptDirectory.from_config(configuration(connection)))


def _oldest_reader(scripts: ScriptDirectory) -> str:
    return max(getattr(script.module, "oldest_reader", schema.REVISIONS[0]) for script in scripts.walk_revisions())


def upgrade(connection: Connection) -> None:
    """Upgrade the database to the newest revision, in the connection's transaction."""
    config = configuration(connection)
    command.upgrade(config, "head")
    # The scripts that Alembic has loaded: to load them again takes a tenth of a first start.
    written = {"oldest_revision": _oldest_reader(config.attributes["scripts"]), "release": version("understudy-server")}
    connection.execute(delete(schema.compatibility))
    connection.execute(insert(schema.compatibility).values(**written))
