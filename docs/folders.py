"""The folders of the code, with what stands in them and what they import: the tables of the architecture page."""

import ast
from collections.abc import Container, Iterable, Mapping
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
    kernel = sorted(name for name in imports() if not name.startswith(EXTENSIONS))
    order = [*TopologicalSorter({name: sorted(imports()[name] & {*kernel}) for name in kernel}).static_order()][::-1]
    order.sort(key=lambda name: PACKAGES.index(name.partition(".")[0]))  # keeps the order within a package
    shown = [*order, *sorted(imports().keys() - kernel)]
    return [(_path(name), _listed(imports()[name], shown), summary_of(name)) for name in order]


def extension_rows() -> list[tuple[str, ...]]:
    """Return the folders of extensions, with what each imports: of other extensions, and of the kernel."""
    extensions = {name: others for name, others in sorted(imports().items()) if name.startswith(EXTENSIONS)}
    kernel = [name for name in imports() if name not in extensions]
    return [
        (_path(name), _listed(others, extensions), _listed(others, sorted(kernel)))
        for name, others in extensions.items()
    ]


@cache
def imports() -> Mapping[str, frozenset[str]]:
    """Return which other folders the modules of each folder import. Lines that only type checkers read count."""
    graph = grimp.build_graph(*PACKAGES)
    found: dict[str, set[str]] = {}
    for module in graph.modules:
        if folder := _folder(module):
            others = {_folder(other) for other in graph.find_modules_directly_imported_by(module)}
            found.setdefault(folder, set()).update(other for other in others if other and other != folder)
    return {folder: frozenset(others) for folder, others in found.items()}


def _folder(module: str) -> str | None:
    """Return the package in which a module stands: of `understudy` one below it, and one below its extensions.

    The modules beside its folders are in none: they export names of all, or have the types of what extensions bring.
    """
    parts = module.split(".")
    if parts[0] != "understudy":
        return parts[0]
    depth = 3 if module.startswith(f"{EXTENSIONS}.") else 2
    folder = ".".join(parts[:depth])
    return folder if len(parts) >= depth and folder != EXTENSIONS and _directory(folder).is_dir() else None


def summary_of(package: str) -> str:
    """Return the first paragraph of a package's docstring, without its last period."""
    text = ast.get_docstring(ast.parse((_directory(package) / "__init__.py").read_text(encoding="utf-8"))) or ""
    return text.partition("\n\n")[0].replace("\n", " ").removesuffix(".")


def _listed(names: Container[str], order: Iterable[str]) -> str:
    return ", ".join(f"`{name.rpartition('.')[2]}`" for name in order if name in names)


def _path(package: str) -> str:
    return f"`{package.replace('.', '/')}`"


def _directory(package: str) -> Path:
    return ROOT.joinpath(*package.split("."))
