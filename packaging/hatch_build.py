"""Puts a package that stands at the top of the checkout into the wheel of its distribution.

An editable install gets nothing: it names the checkout in a `.pth` file (`dev-mode-dirs`), and a copy would hide it.
"""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CustomBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """The hook `custom` of Hatch. Its option `package` is the folder at the top of the checkout."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Include the package in a wheel that is no editable one."""
        if version != "editable":
            package = self.config["package"]
            build_data["force_include"][f"../../{package}"] = package
