"""Play stories against the product as it is installed from its wheels.

python -m tests.packaging.stories FOLDER [TEST …]

FOLDER is new or empty, and outside the checkout. It is given the wheels, an environment for servers with what the
product and a few extras declare, one for pytest, and a copy of the tests and of what they read. pytest runs there, by
default with STORIES, and the exit code is its own. In both environments an import of our packages from anywhere but the
wheels is an error, and each process that imports them is recorded.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from packaging.requirements import Requirement

from tests.packaging.environment import Environment, manifest
from tests.packaging.wheels import ROOT, SOURCES, build_wheels
from tests.servers.needed import SERVER_PYTHON_VARIABLE

END_TO_END = "tests/end_to_end/"
STORIES = (
    "tests/browser/test_story.py::test_a_story_in_a_real_browser[chromium-openid_story]",  # two groups, two agents
    f"{END_TO_END}test_allowed_agents.py",
    f"{END_TO_END}test_budgets.py",
    f"{END_TO_END}test_rolling_upgrade.py",
    f"{END_TO_END}test_later_release.py",
    f"{END_TO_END}test_process.py",
    "tests/deploy/test_alerts.py",
    "tests/deploy/test_incidents.py",
    "tests/extensions/operations/test_stops.py",
    "tests/extensions/traces/test_end_to_end.py",
)
EXTRAS = ("agui", "openai", "postgres", "redis", "traces")
"""What servers of the stories have beside the product."""
READ = ("tests", "deploy", "docs", "examples", "pyproject.toml", "constraints.txt")
"""What the tests need of the checkout: none of our packages."""
LOADED = "loaded.txt"
"""In an environment: a line for each of our packages that a process has imported, its id and where the package is."""
GUARD = f"""
import os, sys
from contextlib import suppress
from importlib.machinery import PathFinder

find = PathFinder.find_spec


def find_in_wheels(cls, name, path=None, target=None):
    spec = find(name, path, target)
    if path is None and spec is not None and name in {tuple(SOURCES)!r}:
        if not str(spec.origin).startswith(sys.prefix + os.sep):
            raise ImportError(f"{{name}} is not that of the wheel, but {{spec.origin}}")
        with suppress(OSError), open(os.path.join(sys.prefix, {LOADED!r}), "a") as loaded:  # a sandbox may not write
            print(os.getpid(), spec.origin, file=loaded)
    return spec


PathFinder.find_spec = classmethod(find_in_wheels)  # also what pytest finds modules with
"""


def make(folder: Path, name: str, wheels: Path, extras: tuple[str, ...]) -> Environment:
    environment = Environment.create(folder / name, wheels)
    environment.install(*SOURCES, extras={"understudy": extras, "transport": ("client",)})
    (site,) = environment.home.glob("lib/python3*/site-packages")
    (site / "sitecustomize.py").write_text(GUARD)
    return environment


def play(folder: Path, wheels: Path, tests: tuple[str, ...]) -> int:
    """Play these tests in an empty folder. Return the exit code of pytest."""
    assert not folder.resolve().is_relative_to(ROOT), f"{folder} is inside the checkout"
    dev = manifest("understudy")["optional-dependencies"]["dev"]
    requirement = next(need for need in map(Requirement, dev) if need.name == manifest("understudy")["name"])
    servers = make(folder, "servers", wheels, EXTRAS)
    runner = make(folder, "runner", wheels, ("dev", *requirement.extras))
    copy = folder / "there"
    (site,) = runner.home.glob("lib/python3*/site-packages")
    (site / "there.pth").write_text(f"{copy}\n")  # stories in a browser are programs of their own
    for name in READ:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
        else:
            shutil.copy(ROOT / name, copy)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST"))}
    environment[SERVER_PYTHON_VARIABLE] = str(servers.home / "bin" / "python")
    command = [str(runner.home / "bin" / "python"), "-m", "pytest", "-p", "no:cacheprovider", *tests]
    code = subprocess.run(command, cwd=copy, env=environment, check=False).returncode
    for used in (servers, runner):
        loaded = used.home / LOADED
        lines = loaded.read_text().splitlines() if loaded.exists() else []
        count = len({line.partition(" ")[0] for line in lines})
        print(f"{used.home.name}: {count} processes imported the packages, from", *sorted({_package(x) for x in lines}))
    return code


def _package(line: str) -> str:
    return str(Path(line.partition(" ")[2]).parent)


if __name__ == "__main__":
    where = Path(sys.argv[1]).resolve()
    where.mkdir(parents=True, exist_ok=True)
    assert not any(where.iterdir()), f"{where} is not empty"
    build_wheels(where / "wheels")
    sys.exit(play(where, where / "wheels", tuple(sys.argv[2:]) or STORIES))
