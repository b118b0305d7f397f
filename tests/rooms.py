"""The ratchet: no folder of the repository grows, and no class becomes large, without a change of `tests/rooms.toml`.

    python -m tests.rooms           says what is above its ceiling, or far below it; exit code 1 if anything is
    python -m tests.rooms --lower   lowers ceilings to what is there, and removes what is gone; it never raises or adds

A room is a folder one level below a package (two in `understudy/page`), with all folders below it; files that stand in
the package itself are a room too. Only files that git knows count, and of a page what people wrote.
"""

import argparse
import ast
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final

ROOT: Final = Path(__file__).parent.parent
TABLE: Final = "tests/rooms.toml"
PRODUCT: Final = ("actors", "analyst", "sanitization", "transport", "understudy")
"""Packages whose classes are judged."""
DIVIDED: Final = {"actors", "docs", "sanitization", "tests", "transport", "understudy"}
"""Folders whose folders are rooms of their own; any other is one room."""
CODE: Final = {".css", ".html", ".js", ".jsx", ".mjs", ".py"}
MADE: Final = re.compile(r"<!-- (?:figures|results|table)\b.*?(?:<!-- end -->|\Z)", re.DOTALL)  # what a command writes
SLACK: Final = 0.03
"""Share of a ceiling by which a room may be below it."""
ATTRIBUTES, METHODS = 15, 20  # of a class that is not large, at most
LOWER: Final = f"run `python -m tests.rooms --lower`, and commit {TABLE} with it"


def files(root: Path) -> list[PurePosixPath]:
    """Return the files in folders that git knows and that are there."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True).stdout
    return [PurePosixPath(part) for part in listed.split("\0") if "/" in part and (root / part).is_file()]


def room_of(path: PurePosixPath) -> str:
    """Return the room in which a file stands."""
    folders = path.parent.parts
    depth = 3 if folders[:2] == ("understudy", "page") else 2 if folders[0] in DIVIDED else 1
    return "/".join(folders[:depth])


def measure(root: Path) -> dict[str, Any]:
    """Return lines of code and words of documentation by room, and the sizes of large classes by name."""
    lines, words, classes = Counter[str](), Counter[str](), dict[str, str]()
    for path in files(root):
        if path.suffix in CODE:
            text = (root / path).read_text(encoding="utf-8")
            lines[room_of(path)] += text.count("\n")
            if path.suffix == ".py" and path.parts[0] in PRODUCT:
                classes.update((f"{path}:{name}", size) for name, size in large_classes(ast.parse(text)))
        elif path.suffix == ".md" and path.parts[0] == "docs":
            words[room_of(path)] += len(MADE.sub("", (root / path).read_text(encoding="utf-8")).split())
    return {"lines": lines, "words": words, "classes": classes}


def large_classes(module: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield name and size of each large class. Attributes are annotations of the class, and what methods set."""
    for node in ast.walk(module):
        if isinstance(node, ast.ClassDef):
            methods = [each for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
            attributes = {ast.unparse(each.target) for each in node.body if isinstance(each, ast.AnnAssign)}
            inner = (node for method in methods for node in ast.walk(method) if isinstance(node, ast.Attribute))
            attributes |= {it.attr for it in inner if isinstance(it.ctx, ast.Store) and ast.unparse(it.value) == "self"}
            names = {method.name for method in methods}
            if len(attributes) > ATTRIBUTES or len(names) > METHODS:
                yield node.name, f"{len(attributes)} attributes and {len(names)} methods"


def faults(table: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each room that does not fit its ceiling, and each class that is wrongly listed or not."""
    for unit in ("lines", "words"):
        for room in sorted({*table[unit], *found[unit]}):
            ceiling, size = table[unit].get(room), found[unit].get(room, 0)
            told = f"{room} has {size:,} {unit}"
            if ceiling is None:
                yield f'{room} has no ceiling: add `"{room}" = {size}` to [{unit}] in {TABLE}.'
            elif size > ceiling:
                yield f"{told}, its ceiling is {ceiling:,}: take some away, or raise the ceiling and say why."
            elif size < (1 - SLACK) * ceiling:
                yield f"{told}, far below its ceiling of {ceiling:,}: {LOWER}."
    for name, size in found["classes"].items():
        if name not in table["classes"]["large"]:
            yield f"{name} has {size}: divide it (at most {ATTRIBUTES} and {METHODS}), or rename its entry if it moved."
    for name in table["classes"]["large"]:
        if name not in found["classes"]:
            yield f"{name} is no longer large: {LOWER}."


def lowered(text: str, found: Mapping[str, Any]) -> str:
    """Return the text of the table with ceilings lowered to what was found, and without what is gone."""
    table, parts = tomllib.loads(text), [text.partition("[lines]")[0].rstrip()]
    for unit in ("lines", "words"):
        rooms = {room: min(ceiling, found[unit][room]) for room, ceiling in table[unit].items() if room in found[unit]}
        parts.append("\n".join([f"[{unit}]", *(f'"{room}" = {size}' for room, size in sorted(rooms.items()))]))
    large = sorted({*table["classes"]["large"]} & found["classes"].keys())
    parts.append("\n".join(["[classes]", "large = [", *(f'  "{name}",' for name in large), "]"]))
    return "\n\n".join(parts) + "\n"


def main(arguments: list[str], root: Path = ROOT) -> int:
    """Compare the checkout with its table, after lowering that if asked to. Return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.rooms", description="The ratchet of tests/rooms.toml.")
    parser.add_argument("--lower", action="store_true", help="lower ceilings, and remove what is gone")
    file, found = root / TABLE, measure(root)
    if parser.parse_args(arguments).lower:
        file.write_text(lowered(file.read_text(encoding="utf-8"), found), encoding="utf-8")
    told = list(faults(tomllib.loads(file.read_text(encoding="utf-8")), found))
    print("\n".join(told), end="\n" if told else "")
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
