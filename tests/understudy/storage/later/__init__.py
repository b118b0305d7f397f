"""Simulated later releases: today's code with added migrations, one folder for each release.

`python -m tests.understudy.storage.later NUMBER [OPTION …]` runs the command `understudy` of release NUMBER: release 1
only expands the schema; release 2 also drops a table.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from alembic.config import Config
from sqlalchemy import Connection

from understudy.storage import migrations, schema

HERE: Final = Path(__file__).parent
VERSIONS: Final = Path(migrations.__file__).parent / "versions"
RELEASES: Final = (("9001", HERE / "expanding"), ("9002", HERE / "contracting"))


def become(number: int, put: Callable[[object, str, object], None]) -> None:
    """Turn this process into the later release `number`, by `put(object, attribute, value)`."""
    revisions = tuple(revision for revision, _ in RELEASES[:number])
    places = [VERSIONS, *(folder for _, folder in RELEASES[:number])]
    today = migrations.configuration

    def configuration(connection: Connection) -> Config:
        config = today(connection)
        config.set_main_option("path_separator", "newline")
        config.set_main_option("version_locations", "\n".join(map(str, places)))
        return config

    put(migrations, "configuration", configuration)
    put(schema, "REVISIONS", schema.REVISIONS + revisions)
    put(schema, "HEAD", revisions[-1])
