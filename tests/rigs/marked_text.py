"""A word in texts of users, and the places where a server has stored it."""

from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.rigs.chat_client import ChatClient
from tests.servers.postgresql import Postgres
from understudy.storage import schema

MARKER = "kumquatology"


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> dict[str, str]:
    """Return the settings of a server for each kind of database: a file, or a new database of PostgreSQL."""
    if request.param == "sqlite":
        return {}
    postgres: Postgres = request.getfixturevalue("postgres")
    return {"database_url": postgres.create(request.getfixturevalue("template"))}


async def talk(client: ChatClient, text: str, thread: str, **fields: Any) -> dict[str, Any]:
    """Say something to the agent `script`. Return the end of the run."""
    return await client.ask(text, **{"agent_type": "script", "thread_id": thread, **fields})


def where_marked(settings: dict[str, str], folder: Path) -> list[str]:
    """Return the files of the data folder and the tables of PostgreSQL that contain the marker."""
    names = [path.name for path in folder.rglob("*") if path.is_file() and MARKER.encode() in path.read_bytes()]
    if settings:
        forms = (MARKER, MARKER.encode().hex())
        with psycopg.connect(settings["database_url"]) as connection:
            for table in schema.whole().tables:
                rows = connection.execute(f"SELECT t::text FROM {table} t").fetchall()
                names += [table for (row,) in rows if any(form in row for form in forms)]
    return names
