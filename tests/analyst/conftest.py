"""Fixtures: a user with an attached table, and a whole server."""

from pathlib import Path

import pytest

from tests.rigs.server import serve as serve
from tests.rigs.user_files import attach as attach


@pytest.fixture
def csv_of_sales(tmp_path: Path) -> Path:
    """Return a CSV table: two years of sales in two regions."""
    path = tmp_path / "sales.csv"
    rows = [
        f"2025-{month:02d}-{day:02d},{region},{(month * 37 + day * 11) % 200 + 10}"
        for month in range(1, 13)
        for day in (3, 17)
        for region in ("north", "south")
    ]
    path.write_text("\n".join(["date,region,sales", *rows]) + "\n")
    return path
