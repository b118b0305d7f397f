"""The folders of the kernel, with what stands in them: a table of the architecture page."""

import ast
from collections.abc import Mapping
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Final

import grimp

ROOT: Final = Path(__file__).parents[1]
PACKAGES: Final = ("understudy", "transport", "sanitization", "actors")
EXTENSIONS: Final = "understudy.extensions"


def kernel_rows() -> list[tuple[str, ...]]:
    """Return the folders of the kernel, then the libraries below it: each above those that it imports."""
    kernel = {name: sorted(others) for name, others in sorted(imports().items())}
    order = [*TopologicalSorter(kernel).static_order()][::-1]
    order.sort(key=lambda name: PACKAGES.index(name.partition(".")[0]))  # keeps the order within a package
    return [(f"`{name.replace('.', '/')}`", summary_of(name)) for name in order]


@cache
def imports() -> Mapping[str, frozenset[str]]:
    """Return which others the modules of each folder of the kernel import. Lines that only type checkers read count."""
    graph = grimp.build_graph(*PACKAGES)
    found: dict[str, set[str]] = {}
    for module in graph.modules:
        if folder := _folder(module):
            others = {_folder(other) for other in graph.find_modules_directly_imported_by(module)}
            found.setdefault(folder, set()).update(other for other in others if other and other != folder)
    return {folder: frozenset(others) for folder, others in found.items()}


def _folder(module: str) -> str | None:
    """Return the package of the kernel in which a module stands: of `understudy` one below it.

    The modules beside its folders are in none: they export names of all, or have the types of what extensions bring.
    """
    parts = module.split(".")
    if parts[0] != "understudy":
        return parts[0]
    folder = ".".join(parts[:2])
    return folder if len(parts) >= 2 and folder != EXTENSIONS and _directory(folder).is_dir() else None


def summary_of(package: str) -> str:
    """Return the first paragraph of a package's docstring, without its last period."""
    text = ast.get_docstring(ast.parse((_directory(package) / "__init__.py").read_text(encoding="utf-8"))) or ""
    return text.partition("\n\n")[0].replace("\n", " ").removesuffix(".")


def _directory(package: str) -> Path:
    return ROOT.joinpath(*package.split("."))
