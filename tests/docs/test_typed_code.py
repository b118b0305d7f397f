"""Every Python block of the documentation passes `mypy --strict`, so that it can be copied into a checked program."""

import ast
import builtins
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rigs.doc_tables import DOCS, ROOT

pytestmark = pytest.mark.proof("docs")

BLOCK = re.compile(r"^```python(?: title=\"(?P<title>[^\"]+)\")?[^\n]*\n(?P<text>.*?)^```", re.DOTALL | re.MULTILINE)
OPTIONS = ("--strict", "--config-file=", "--implicit-reexport", "--disable-error-code=empty-body")
BROUGHT = {
    "docs/reference/agents-and-tools.md": """
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Protocol, TypeAlias
from uuid import UUID
from pydantic import Field
import annotated_types
from understudy import Tool, tool
class Page: ...
class Order: ...
class Database:
    async def order(self, number: UUID) -> Order: ...
class asyncpg:
    Pool: TypeAlias = Any
    @staticmethod
    def create_pool(dsn: str) -> Any: ...
async def find_order(number: str) -> dict[str, Any]: ...
def pages_of(site: str) -> AsyncIterator[Page]: ...
DSN: str
database: Database
bank: Any
regions: Any
search: Tool
read_page: Tool
chart_table: Tool
salaries: Tool
find: Tool
""",
    "docs/explanation/where-tools-run.md": """
from understudy import tool
class Model:
    def run(self, rounds: int) -> dict[str, float]: ...
model: Model
""",
}
"""What the reader brings to a page: its declarations, by page."""
UNTYPED = {
    "docs/how-to/embed-a-chat-server.md": "parts of an example",
    "docs/extensions/use-openai-agents.md": "an SDK that is not installed beside the tests",
    "docs/extensions/responses.md": "dicts where that SDK has TypedDict classes, as in its own documentation",
    "docs/how-to/actors/quart.md": "attributes of an app, as in the documentation of Quart",
}
"""Pages whose code runs in another test and is not checked here, and why."""

SHARED = {"my_app": "docs_tutorial_first_agent"}
"""Modules that one page writes and others import."""


def test_every_block_passes_mypy_strict(tmp_path: Path) -> None:
    for page in [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]:
        if str(page.relative_to(ROOT)) not in UNTYPED:
            write(tmp_path, str(page.relative_to(ROOT)), page.read_text())
    ran = subprocess.run(
        [sys.executable, "-m", "mypy", *OPTIONS, "--cache-dir", str(tmp_path / "cache"), "."],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def write(folder: Path, page: str, text: str) -> None:
    """Write the blocks of a page as modules of a package. Each imports what it uses of those before it."""
    found = list(BLOCK.finditer(text))
    if not found:
        return
    package = re.sub(r"\W", "_", page.removesuffix(".md"))
    (folder / package).mkdir()
    (folder / package / "__init__.py").touch()
    titles = {Path(each["title"]).stem for each in found if each["title"]}
    packages = {Path(each["title"]).stem: Path(each["title"]).parent.name for each in found if each["title"]}
    above = {title: rf"{name}\." for title, name in packages.items() if name}
    brought = BROUGHT.get(page, "")
    (folder / package / "brought.py").write_text(brought)
    origins = dict.fromkeys(defined(brought), "brought")
    by_title: dict[str, dict[str, str]] = {title: {} for title in titles}
    modules = [(f"line_{text[: each.start('text')].count(chr(10)) + 1}", each["text"], each["title"]) for each in found]
    for module, code, _ in reversed(modules):  # a block may use what a later one defines
        origins = dict.fromkeys(defined(code), module) | origins
    for module, code, title_of in modules:
        for title in {*titles, *SHARED}:
            home = package if title in titles else SHARED[title]
            named = rf"^( *)from {above.get(title, '')}{title} import"
            code = re.sub(named, rf"\1from {home}.{title} import", code, flags=re.MULTILINE)
        here = defined(code)
        used = {node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)} - here - {*dir(builtins)}
        imports = [f"from {package}.{origins[name]} import {name}" for name in sorted(used & {*origins})]
        (folder / package / f"{module}.py").write_text("\n".join([*imports, code]))
        origins |= dict.fromkeys(here, module)
        if title_of:
            by_title[Path(title_of).stem] |= dict.fromkeys(here, module)
    for title, names in by_title.items():
        lines = [f"from {package}.{module} import {name}" for name, module in names.items()]
        (folder / package / f"{title}.py").write_text("\n".join(lines))


def defined(code: str) -> set[str]:
    found: set[str] = set()
    for node in ast.parse(code).body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                found |= {name.asname or name.name.split(".")[0] for name in names} - {"annotations"}
            case ast.Assign(targets=targets):
                found |= {node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name)):
                found.add(name)
            case ast.For() | ast.Try() | ast.With() | ast.If():
                found |= {
                    each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
                }
    return found
