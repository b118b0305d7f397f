"""Numbers of the sizing page that are defined in the code."""

import re

from analyst.tables import LIMIT_S, TABLE
from tests.rigs.doc_tables import DOCS
from understudy.app.settings import Settings
from understudy.extensions.files.cache import COPIES_BYTES
from understudy.storage.postgresql import NODE_CONNECTIONS


def test_numbers_are_those_of_the_code() -> None:
    text = " ".join((DOCS / "explanation/sizing.md").read_text().split())
    words = {9: "nine", 10: "ten", 11: "eleven"}
    assert f"a node opens {words[NODE_CONNECTIONS]} at most" in text
    limits = Settings().limits
    assert f"`runs_total = {limits.runs_total}` and `connections_total = {limits.connections_total}`" in text
    assert TABLE.memory == COPIES_BYTES == 1 << 30
    assert f"a process of up to 1 GiB for up to {LIMIT_S:g} s" in text
    assert re.search(r"at most 1 GiB on the disk", text)
    assert f"{words[NODE_CONNECTIONS]} at most" in (DOCS / "how-to/store-in-postgresql.md").read_text()
