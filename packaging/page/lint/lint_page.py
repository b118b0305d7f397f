"""Checks the scripts of the pages: ESLint all of them, TypeScript the types that `client/` writes as comments.

npm installs both, as `package-lock.json` pins them, into `.venv/lint`. Without npm nothing is checked, which is said;
with `CI` set that is an error.
"""

import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
OURS = Path(__file__).parent
FOLDER = ROOT / ".venv" / "lint"
SCRIPTS = ("understudy/page", "tests/page", "tests/extensions", "packaging/page")


def main() -> int:
    """Run both; return 1 if one of them finds something."""
    bundle_page = runpy.run_path(str(OURS.parent / "bundle_page.py"))
    try:
        node, npm = bundle_page["node_js"]()
        _install(npm)
    except (OSError, subprocess.SubprocessError) as error:
        sys.stderr.write(f"The pages' scripts are not checked: {bundle_page['reason_of'](error)}\n")
        return 1 if os.environ.get("CI") else 0
    packages = FOLDER / "node_modules"
    shutil.copy(OURS / "eslint.config.js", FOLDER)  # it imports what stands beside it
    eslint = [
        node,
        str(packages / "eslint" / "bin" / "eslint.js"),
        "--config",
        str(FOLDER / "eslint.config.js"),
        *SCRIPTS,
    ]
    tsc = [node, str(packages / "typescript" / "bin" / "tsc"), "--project", str(OURS / "tsconfig.json")]
    return max(subprocess.run(command, cwd=ROOT, check=False).returncode for command in (eslint, tsc)) and 1  # noqa: S603


def _install(npm: "list[str]") -> None:
    lock = FOLDER / "installed.json"  # a copy of the list that was installed
    if lock.exists() and lock.read_bytes() == (OURS / "package-lock.json").read_bytes():
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(OURS / name, FOLDER)
    command = [*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    subprocess.run(command, cwd=FOLDER, check=True, capture_output=True, text=True, timeout=120)  # noqa: S603
    shutil.copy(OURS / "package-lock.json", lock)


if __name__ == "__main__":
    sys.exit(main())
