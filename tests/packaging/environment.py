"""Virtual environments that are filled from the wheels, without a network."""

import importlib.metadata
import re
import shutil
import subprocess
import sys
import tomllib
import venv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from attrs import define
from packaging.requirements import Requirement

from tests.packaging.wheels import OFFLINE, SOURCES


def manifest(package: str) -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((SOURCES[package] / "pyproject.toml").read_text())["project"]
    return project


def name_of(package: str) -> str:
    return str(manifest(package)["name"])


def normal(name: str) -> str:
    """Return a distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def closure(requirements: Iterable[str], extras: Iterable[str] = ()) -> dict[str, importlib.metadata.Distribution]:
    """Return the installed distributions that these requirements bring, without our own."""
    distributions: dict[str, importlib.metadata.Distribution] = {}
    left = [(Requirement(requirement), tuple(extras)) for requirement in requirements]
    visited: set[tuple[str, frozenset[str]]] = set()
    while left:
        need, wanted = left.pop()
        if need.marker and not any(need.marker.evaluate({"extra": extra}) for extra in (*wanted, "")):
            continue
        key = (normal(need.name), frozenset(need.extras))
        if key in visited or key[0].startswith("understudy"):
            continue
        visited.add(key)
        distributions[key[0]] = importlib.metadata.distribution(need.name)
        left += [(Requirement(requirement), tuple(need.extras)) for requirement in distributions[key[0]].requires or []]
    return distributions


@define
class Environment:
    home: Path
    wheels: Path

    @classmethod
    def create(cls, home: Path, wheels: Path) -> "Environment":
        venv.EnvBuilder(with_pip=False, symlinks=True).create(home)
        return cls(home, wheels)

    def copy(self, home: Path) -> "Environment":
        """Copy it to the folder `home`. Python finds its packages relative to its own path."""
        shutil.copytree(self.home, home, symlinks=True)
        return Environment(home, self.wheels)

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run its Python in the folder that contains it."""
        command = [str(self.home / "bin" / "python"), "-I", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=self.home.parent, check=False)

    def install(self, *packages: str, extras: Mapping[str, tuple[str, ...]] | None = None) -> None:
        """Install wheels and link their declared requirements from this test run's environment, and no others."""
        wheels = filter(None, map(self._wheel, packages))
        self._pip("install", *OFFLINE, "--no-deps", *map(str, wheels))
        (site,) = self.home.glob("lib/python3*/site-packages")
        for package in packages:
            project = manifest(package)
            wanted = [*project["dependencies"]]
            for extra in (extras or {}).get(package, ()):
                wanted += project["optional-dependencies"][extra]
            for distribution in closure(wanted).values():
                _link(distribution, site)

    def uninstall(self, package: str) -> None:
        self._pip("uninstall", *OFFLINE[:2], "--yes", name_of(package))

    def _wheel(self, package: str) -> Path | None:
        """Return the wheel of a package, None if an earlier commit had no such package. Earlier commits called the
        product's distribution as its package."""
        names = (name_of(package).replace("-", "_"), package)
        return next((wheel for name in names for wheel in self.wheels.glob(f"{name}-*.whl")), None)

    def _pip(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "pip", "--python", str(self.home / "bin" / "python"), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr


def _link(distribution: importlib.metadata.Distribution, site: Path) -> None:
    """Link a distribution's top-level files and folders into `site`."""
    tops = {file.parts[0] for file in distribution.files or [] if file.parts[0] not in ("..", "__pycache__")}
    for top in tops:
        target = Path(str(distribution.locate_file(top)))
        if target.exists() and not (site / top).exists():
            (site / top).symlink_to(target)
