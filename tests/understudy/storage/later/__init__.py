"""Later releases: today's code with more migrations, those of a folder here each.

python -m tests.understudy.storage.later NUMBER [OPTION …] is the command `understudy` of the release NUMBER: 1 only
expands the schema, 2 takes something away from it.
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
    """Have this process be the release `number`; `put` sets an attribute."""
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
