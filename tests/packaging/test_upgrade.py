"""What tries an upgrade with wheels is tried itself: on the checkout, and later releases that have more migrations."""

from pathlib import Path

import pytest

from tests.end_to_end.process import command_of
from tests.packaging.upgrade import Release, upgraded
from tests.packaging.wheels import ROOT


@pytest.mark.slow
@pytest.mark.parametrize(("number", "says"), [(1, "storage.newer_schema"), (2, "knows schemas up to")])
def test_an_upgrade_keeps_what_was_stored(
    number: int, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The release before it comes back, or refuses the schema if the later one has taken something away. What the
    earlier release says then tells which of both was played."""
    earlier, later = (Release(tuple(command_of(release)), ROOT) for release in (0, number))
    upgraded(earlier, later, tmp_path, UNDERSTUDY_WORDS_PER_S="200")
    assert says in capsys.readouterr().out
