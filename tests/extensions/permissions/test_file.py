"""The permissions file is read again when it changes; a wrong one changes nothing."""

import logging
import os
from pathlib import Path

import pytest

from understudy.agents.permissions import Permissions, Rules
from understudy.extensions.permissions.file import MAX_BYTES, PermissionsFile
from understudy.extensions.permissions.rules import BadRules

GOOD = '[tools]\nlook = ["user:ada"]'


def refuse_eve(rules: Rules) -> None:
    if rules.of_tool("look") == ("user:eve",):
        raise BadRules("eve is not wanted")


@pytest.fixture
def file(tmp_path: Path) -> PermissionsFile:
    path = tmp_path / "permissions.toml"
    path.write_text(GOOD)
    permissions_file = PermissionsFile(path, Permissions(), refuse_eve)
    permissions_file.permissions.rules = permissions_file.read()
    return permissions_file


async def test_a_change_is_put_in_force(file: PermissionsFile) -> None:
    before = file.permissions.rules
    await file.poll()
    assert file.permissions.rules is before
    file.path.write_text(GOOD.replace("ada", "beatrice"))
    await file.poll()
    assert file.permissions.rules.of_tool("look") == ("user:beatrice",)


@pytest.mark.parametrize(
    "text", ["[tools", "[tools]\nlook = 1", GOOD.replace("ada", "eve"), "#" * (MAX_BYTES + 1), None]
)
async def test_a_wrong_change_is_logged_once_and_changes_nothing(
    file: PermissionsFile, caplog: pytest.LogCaptureFixture, text: str | None
) -> None:
    """The file may also be gone."""
    if text is None:
        file.path.unlink()
    else:
        file.path.write_text(text)
        os.utime(file.path, ns=(1, 1))
    with caplog.at_level(logging.ERROR):
        await file.poll()
        await file.poll()
    assert file.permissions.rules.of_tool("look") == ("user:ada",)
    (record,) = [record for record in caplog.records if record.message == "permissions.not_read"]
    assert str(file.path) in record.__dict__["reason"]
    file.path.write_text(GOOD.replace("ada", "beatrice"))
    await file.poll()
    assert file.permissions.rules.of_tool("look") == ("user:beatrice",)
