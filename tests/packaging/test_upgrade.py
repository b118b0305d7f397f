"""What tries an upgrade with wheels is tried itself: on the checkout, and later releases that have more migrations."""

from pathlib import Path

import pytest

from tests.packaging.upgrade import Release, upgraded
from tests.packaging.wheels import ROOT
from tests.rigs.process import command_of

pytestmark = pytest.mark.proof("upgrade")


@pytest.mark.parametrize(
    ("database", "number", "says"),
    [
        ("sqlite", 1, "storage.newer_schema"),
        ("sqlite", 2, "knows schemas up to"),
        ("postgresql", 1, "storage.newer_schema"),
    ],
)
def test_an_upgrade_keeps_what_was_stored(
    database: str,
    number: int,
    says: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The release before it comes back, or refuses the schema if the later one has taken something away. What the
    earlier release says then tells which of both was played."""
    earlier, later = (Release(tuple(command_of(release)), ROOT) for release in (0, number))
    stored = {}
    if database == "postgresql":
        stored = {"UNDERSTUDY_DATABASE_URL": request.getfixturevalue("postgres").create()}
    upgraded(earlier, later, tmp_path, UNDERSTUDY_MODELS_WORDS_PER_S="200", **stored)
    assert says in capsys.readouterr().out
