"""Bundles the chat page into the wheel, if npm is there: otherwise the page is served as its modules.

`UNDERSTUDY_PAGE_BUNDLE` is `auto` (the default), `require` (a wheel without a bundle is an error, for a release) or
`skip`. The wheel has it as `understudy/page/bundle`, which holds the libraries too; of `understudy/page/lib` it has
what is no module (`ALONE`). An editable install has those of the checkout.
"""

import os
import runpy
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ALONE = ("chart_worker", "diagram", "licences")
"""The worker that draws charts, the frame that draws diagrams, and the licences of all libraries."""


class CustomBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """The hook `custom` of Hatch for the wheel of understudy."""

    folder: "tempfile.TemporaryDirectory[str] | None" = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Make the bundle, and include it. Raises RuntimeError if it is required and cannot be made."""
        mode = os.environ.get("UNDERSTUDY_PAGE_BUNDLE", "auto")
        if mode not in ("auto", "require", "skip"):
            raise RuntimeError(f"UNDERSTUDY_PAGE_BUNDLE is auto, require or skip, not {mode!r}")
        if version == "editable" or mode == "skip":
            return
        self.folder = tempfile.TemporaryDirectory()
        page = runpy.run_path(str(Path(self.root) / "packaging" / "page" / "bundle_page.py"))
        try:
            made = page["make_bundle"](Path(self.root), Path(self.folder.name))
        except (OSError, subprocess.SubprocessError) as error:
            reason = page["reason_of"](error)
            if mode == "require":
                raise RuntimeError(f"the page cannot be bundled: {reason}") from error
            self.app.display_warning(f"The page is not bundled, and will be served as its modules: {reason}")
        else:
            parts = [path for path in made.rglob("*") if path.is_file()]
            parts = [part for part in parts if part.parent.name != "lib" or part.name.split(".")[0] in ALONE]
            build_data["force_include"] |= {str(part): f"understudy/page/{part.relative_to(made)}" for part in parts}

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was made."""
        if self.folder is not None:
            self.folder.cleanup()
