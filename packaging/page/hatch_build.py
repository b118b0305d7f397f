"""Bundles the chat page into the wheel, if npm is there: otherwise the page is served as its modules.

`UNDERSTUDY_PAGE_BUNDLE` is `auto` (the default), `require` (a wheel without a bundle is an error, for a release) or
`skip`. npm installs the bundler that `package-lock.json` pins by its hash, without running scripts of packages. The
bundle is `understudy/page/bundle` in the wheel; an editable install has none, and serves what stands in the checkout.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

INSTALL_S = 180
BUNDLE_S = 60


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
        try:
            bundle = make_bundle(Path(self.root), Path(self.folder.name))
        except (OSError, subprocess.SubprocessError) as error:
            reason = (str(getattr(error, "stderr", None) or "").strip() or str(error)).splitlines()[-1]
            if mode == "require":
                raise RuntimeError(f"the page cannot be bundled: {reason}") from error
            self.app.display_warning(f"The page is not bundled, and will be served as its modules: {reason}")
        else:
            build_data["force_include"][str(bundle)] = "understudy/page/bundle"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was made."""
        if self.folder is not None:
            self.folder.cleanup()


def make_bundle(root: Path, folder: Path) -> Path:
    """Bundle the page of the checkout `root` within `folder`. Return the bundle's folder.

    Raises FileNotFoundError without npm or Node, SubprocessError if the bundler cannot be installed or takes too long,
    and RuntimeError with what it said if it refuses the page.
    """
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        raise FileNotFoundError("there is no npm on the PATH (it comes with Node.js)")
    for name in ("package.json", "package-lock.json", "bundle.mjs"):
        shutil.copy(root / "packaging" / "page" / name, folder)
    install = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    _run(install, folder, INSTALL_S)
    out = folder / "bundle"
    command = [node, "bundle.mjs", str(root / "understudy" / "page"), str(out)]
    try:
        _run(command, folder, BUNDLE_S)
    except subprocess.CalledProcessError as error:
        raise RuntimeError(f"the page cannot be bundled:\n{error.stderr}") from error
    return out


def _run(command: "list[str]", folder: Path, within_s: float) -> None:
    subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=within_s)  # noqa: S603
