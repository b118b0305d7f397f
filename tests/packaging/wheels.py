"""The wheels of the four distributions, built once in a run."""

import os
import subprocess
import sys
from pathlib import Path

from tests.servers.needed import found

ROOT = Path(__file__).parents[2]
SOURCES = {
    "actors": ROOT / "packaging" / "actors",
    "transport": ROOT / "packaging" / "transport",
    "sanitization": ROOT / "packaging" / "sanitization",
    "understudy": ROOT,
}
"""Each package and the folder of its manifest."""
OFFLINE = ("--quiet", "--disable-pip-version-check", "--no-index")


def build_wheel(folder: Path, *sources: Path, bundle: str) -> None:
    """Build the wheels of these sources into `folder`, but for the page's bundler without a network.

    `bundle` is what `UNDERSTUDY_PAGE_BUNDLE` says of the page: `auto`, `require` or `skip`.
    """
    command = [sys.executable, "-m", "pip", "wheel", *OFFLINE, "--no-deps", "--no-build-isolation", "--wheel-dir"]
    environment = os.environ | {"UNDERSTUDY_PAGE_BUNDLE": bundle}
    subprocess.run([*command, str(folder), *map(str, sources)], check=True, cwd=ROOT, timeout=500, env=environment)


def build_wheels(folder: Path) -> None:
    """Build all wheels into `folder`, as for a release if there is npm. Give it to the fixture `filled_once`."""
    build_wheel(folder, *SOURCES.values(), bundle="require" if found("npm") else "skip")
