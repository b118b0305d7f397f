"""The wheels of the five distributions, built once in a run."""

import importlib.util
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from email.message import Message
from email.parser import Parser
from pathlib import Path

from tests.servers.needed import found

ROOT = Path(__file__).parents[2]
SOURCES = {
    "actors": ROOT / "packaging" / "actors",
    "transport": ROOT / "packaging" / "transport",
    "sanitization": ROOT / "packaging" / "sanitization",
    "understudy": ROOT,
    "analyst": ROOT / "packaging" / "analyst",
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


def metadata_of(wheel: zipfile.ZipFile) -> Message:
    (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    return Parser().parsestr(wheel.read(name).decode())


def runner(
    wheel: zipfile.ZipFile, needed: Sequence[str], folder: Path
) -> Callable[[str], "subprocess.CompletedProcess[str]"]:
    """Return a runner for programs in an interpreter with the package and these modules only."""
    wheel.extractall(folder)
    for name in needed:
        spec = importlib.util.find_spec(name)
        assert spec
        assert spec.origin
        target = Path(spec.origin) if Path(spec.origin).suffix == ".so" else Path(spec.origin).parent
        if not (folder / target.name).exists():
            (folder / target.name).symlink_to(target)

    def run(program: str) -> "subprocess.CompletedProcess[str]":
        program = f"import sys; sys.path.insert(0, {str(folder)!r})\n{program}"
        command = [sys.executable, "-I", "-S", "-c", program]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    return run
