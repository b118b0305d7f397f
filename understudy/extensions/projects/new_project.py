"""`understudy new`: creates a project with an agent, tools, tests and files to deploy it, from the folder of templates.

Each template is a whole file of the project `my_app`, with `.txt` added to its name so that no tool checks it as ours.
"""

import keyword
import re
import sys
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from understudy import __version__
from understudy.cli.options import FixableError

TEMPLATES: Final = "template"
NAME: Final = "my_app"
TITLE: Final = "My app"
VERSION: Final = "understudy-server>=0.0.0"
_VALID: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")

_TAKEN: Final = ("understudy", "analyst", "actors", "transport", "sanitization", "tests")


def make_project(path: Path) -> list[Path]:
    """Write the project into a new or empty folder, and return its files. The folder's name is that of the package.

    Raises:
        FixableError: The name is not that of a new package, or the folder is not empty.
    """
    name = path.name
    if not _VALID.fullmatch(name) or keyword.iskeyword(name):
        raise FixableError(f"{name!r} cannot be a package's name: lower-case letters, digits and '_', 40 at most")
    if name in sys.stdlib_module_names or name in _TAKEN:
        raise FixableError(f"there is a package {name!r} already; choose another name")
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise FixableError(f"{path} exists already, and is not an empty folder")
    written = []
    for name_in_project, template in _templates(files("understudy.extensions.projects") / TEMPLATES):
        target = path / _filled(name_in_project.removesuffix(".txt"), name)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(_filled(template.read_text("utf-8"), name), "utf-8")
        written.append(target)
    return written


def _filled(text: str, name: str) -> str:
    title = name.replace("_", " ").strip().capitalize()
    return text.replace(VERSION, f"understudy-server>={__version__}").replace(TITLE, title).replace(NAME, name)


def _templates(folder: Traversable, at: str = "") -> Iterator[tuple[str, Traversable]]:
    """Yield the path in the project of each template below a folder, and the template."""
    for path in sorted(folder.iterdir(), key=lambda template: template.name):
        if path.is_dir():
            yield from _templates(path, f"{at}{path.name}/")
        else:
            yield f"{at}{path.name}", path
