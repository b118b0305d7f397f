"""The pages on actors: every block runs and prints the shown output; every name and default is the code's."""

import inspect
import io
import math
import os
import re
import subprocess
import sys
from contextlib import redirect_stdout
from functools import partial
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs
import pytest
import trio
import trio.testing

import actors
import actors.behaviours
import actors.interop
import actors.testing
from actors.lifecycle import TRANSITIONS, State, Step
from actors.mailbox import DEFAULT_CAPACITY
from actors.testing import plugin
from tests.rigs.doc_tables import DOCS, ROOT, code, table
from tests.rigs.nested import LEAN

REFERENCE = "reference/actors.md"
FENCE = re.compile(r'^```(\w*)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
PAGES = sorted(
    str(page.relative_to(DOCS))
    for page in (
        DOCS / "tutorial" / "actors.md",
        DOCS / REFERENCE,
        *(DOCS / "how-to" / "actors").glob("*.md"),
        *(DOCS / "explanation" / "actors").glob("*.md"),
    )
)
REAL_TIME = {"how-to/actors/websocket-client.md"}
"""Pages that use sockets: virtual time would jump ahead while data is in transit."""
OWN_PROCESS = {"how-to/actors/anyio.md"}
"""Pages that run asyncio's own loop, which does not exist once trio-asyncio is imported."""
COMMANDS = {
    "pip install ./packaging/actors          # in a checkout of understudy",
    "pip install pytest pytest-trio",
    "python -m actors.top shop.top",
    "python -m pytest test_station.py",
}


@attrs.frozen
class Block:
    """A fenced block of a page; `line` is its first line."""

    language: str
    title: str
    text: str
    line: int

    @property
    def tests(self) -> bool:
        """Whether the block is for pytest."""
        return self.language == "python" and self.title.startswith(("test_", "conftest"))

    @property
    def script(self) -> bool:
        return self.language == "python" and not self.tests


def blocks(page: str) -> list[Block]:
    text = (DOCS / page).read_text()
    return [Block(m[1], m[2] or "", m[3], text.count("\n", 0, m.start()) + 2) for m in FENCE.finditer(text)]


def in_virtual_time(run: Any, *args: Any, **options: Any) -> Any:
    """`trio.run` with a clock that jumps to the next deadline when all tasks wait."""
    return run(*args, **{"clock": trio.testing.MockClock(autojump_threshold=0), **options})


def run_block(block: Block, page: str, module: ModuleType) -> str:
    printed = io.StringIO()
    source = "\n" * (block.line - 1) + block.text
    with redirect_stdout(printed):
        exec(compile(source, str(DOCS / page), "exec"), vars(module))
    return printed.getvalue()


def check(page: str) -> None:
    """Run the blocks of a page as one program, and compare each output block with the output of the code above it."""
    with pytest.MonkeyPatch.context() as patch:
        if page not in REAL_TIME:
            patch.setattr(trio, "run", partial(in_virtual_time, trio.run))
        module = ModuleType("page")
        patch.setitem(sys.modules, "page", module)
        printed = None
        for block in blocks(page):
            if block.script:
                patch.setitem(sys.modules, Path(block.title or "page").stem, module)
                printed = run_block(block, page, module)
            elif block.language == "text":
                assert block.text == printed != "", f"{page}, line {block.line}"
                printed = None


@pytest.mark.parametrize("page", PAGES)
def test_its_code_runs_and_prints_what_it_says(page: str) -> None:
    """The blocks of a page are one program, from top to bottom; an output block belongs to the code above it."""
    if page not in OWN_PROCESS:
        check(page)
        return
    code = f"from tests.docs.test_actors_docs import check; check({page!r})"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr


def files(page: str) -> dict[str, str]:
    """Return the contents of each file at the end of the page. Parts followed by a `main` need no test."""
    written: dict[str, str] = {}
    for block in blocks(page):
        if block.language == "python" and not block.text.startswith("async def main"):
            written[block.title] = written.get(block.title, "") + "\n\n" + block.text
    return written


@pytest.mark.parametrize("page", [page for page in PAGES if any(block.tests for block in blocks(page))])
def test_its_tests_pass(page: str, tmp_path: Path) -> None:
    for name, text in files(page).items():
        (tmp_path / name).write_text(text)
    command = [
        sys.executable,
        "-W",
        "error",
        "-m",
        "pytest",
        *LEAN,
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(tmp_path),
    ]
    if not (tmp_path / "conftest.py").exists():
        command += ["-p", "actors.testing.plugin"]
    ran = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=300
    )
    count = sum(len(re.findall(r"^(?:async )?def test_", block.text, re.MULTILINE)) for block in blocks(page))
    assert f"{count} passed" in ran.stdout, ran.stdout + ran.stderr
    assert ran.returncode == 0


def test_every_block_is_checked() -> None:
    for page in PAGES:
        for block in blocks(page):
            assert block.language in ("python", "text", "console"), f"{page}, line {block.line}"
            if block.language == "console":
                commands = re.findall(r"^\$ (.+)$", block.text, re.MULTILINE)
                assert commands, f"{page}, line {block.line}"
                assert set(commands) <= COMMANDS, f"{page}, line {block.line}"


# The reference


def under(heading: str) -> str:
    """Return the text between a heading of the reference and the next."""
    text = (DOCS / REFERENCE).read_text()
    after = re.split(rf"^#+ {re.escape(heading)}$", text, maxsplit=1, flags=re.MULTILINE)[1]
    return re.split(r"^#", after, maxsplit=1, flags=re.MULTILINE)[0]


def test_numbers_of_mailboxes_asks_restarts_and_phases_are_those_of_the_page() -> None:
    spec = actors.MailboxSpec()
    assert f"a capacity ({spec.capacity[0]:,})" in " ".join(under("Mailboxes and lanes").split())
    assert spec.capacity[0] == DEFAULT_CAPACITY
    assert f"(`{spec.overflow[0].name}`)" in under("Mailboxes and lanes")  # type: ignore[union-attr]
    for method in (actors.ActorRef.ask, actors.ActorRef.send):
        assert inspect.signature(method).parameters["timeout_s"].default == 5.0
    root = inspect.signature(actors.ActorSystem).parameters
    tolerated = f"{root['intensity'].default} restarts of each child in {root['period_s'].default:g} s"
    assert tolerated in " ".join(under("Systems").split())
    phases = dict(re.findall(r"`(\w+)` (\d+ s|without limit)", under("Time, interception, shutdown")))
    assert phases == {
        step.name: "without limit" if step.timeout_s == math.inf else f"{step.timeout_s:g} s" for step in actors.PHASES
    }


def test_the_life_cycle_is_the_table_of_the_code() -> None:
    listed = table(REFERENCE, "Life cycle")
    assert [code(row["state"])[0] for row in listed] == [state.value for state in State]
    for row in listed:
        for step in Step:
            after = TRANSITIONS[State(code(row["state"])[0])].get(step)
            assert row[f"`{step.value}`"] == ("" if after is None else f"`{after.value}`")


def test_the_walk_through_a_life_names_functions_that_exist() -> None:
    for row in table("explanation/actors/life.md", "The same in the code"):
        for name in code(row["function"]):
            module, _, function = name.partition(".")
            assert callable(attrgetter(function)(import_module(f"actors.{module}"))), name


def test_exits_are_listed() -> None:
    listed = {code(row["name"])[0]: row["abnormal"] for row in table(REFERENCE, "Exits")}
    kinds = (actors.Normal, actors.Shutdown, actors.Killed, actors.Crashed)
    assert listed == {**{kind.__name__: "yes" if kind.abnormal else "no" for kind in kinds}, "Exit": ""}


def test_every_fixture_is_listed() -> None:
    fixtures = [name for name, value in vars(plugin).items() if type(value).__name__ == "FixtureFunctionDefinition"]
    assert fixtures
    assert sorted(name for row in table(REFERENCE, "Fixtures") for name in code(row["fixture"])) == sorted(fixtures)


@pytest.mark.promise("bitten.every-drop-counted")
def test_the_delivery_guarantee_names_every_reason_of_a_dead_letter() -> None:
    """The reasons are those documented at the record, except the pool's, which the page on pools has."""
    reasons = set(re.findall(r"`([a-z]+)`\s\(", inspect.getdoc(actors.DeadLetter) or ""))
    assert reasons >= {"dead", "stopped", "overflow", "poison"}
    assert reasons <= {reason for row in table(REFERENCE, "Delivery") for reason in code(row["record"])}


@pytest.mark.proof("docs")
def test_its_code_has_the_types_of_the_library(tmp_path: Path) -> None:
    """Copied code dereferences no optional reference, and may use an answer as any object, under `mypy --strict`."""
    for page in PAGES:
        folder = tmp_path / page.removesuffix(".md").replace("/", "_").replace("-", "_")
        folder.mkdir()
        (folder / "__init__.py").touch()
        script = "\n\n".join(block.text for block in blocks(page) if block.script)
        (folder / "page.py").write_text(script)
    options = ["--strict", "--config-file=", "--cache-dir", str(tmp_path / "cache"), "--allow-redefinition"]
    ran = subprocess.run(
        [sys.executable, "-m", "mypy", *options, str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert re.search(r"^(Found|Success)", ran.stdout, re.MULTILINE), ran.stdout + ran.stderr
    wrong = ("ActorRef | None", 'expected "Ask[object]"')
    assert [line for line in ran.stdout.splitlines() if any(words in line for words in wrong)] == []
