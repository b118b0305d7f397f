"""The settings of permissions."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from understudy.agents.agent import Agent
    from understudy.app.settings import Settings
    from understudy.cli.check_result import CheckResult


@frozen
class PermissionSettings:
    """The file with the rules."""

    file: Path | None = None
    """The file of who may use which agents, tools and models, and spend how much, by group; changes count within a
    second."""

    def checks(self, settings: "Settings", agents: "Sequence[Agent]", _offline: bool) -> "Iterator[CheckResult]":
        """Check the file as the server would; without `agents` only its form, as it may name unknown ones."""
        if self.file is not None:
            from understudy.extensions.permissions.check import check

            yield check(self.file, settings, agents)
