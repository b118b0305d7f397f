"""The operators' two pages: what must never be in them, and that they are whole."""

import re
from pathlib import Path

import pytest

from tests.page.styles import MARKUP_SINKS, contrast
from understudy.auth.rights import AUDITORS, OPERATORS

PAGE = Path(__file__).resolve().parents[2] / "understudy" / "page"
BOTH = (PAGE / "admin", PAGE / "observer")
MODULES = sorted(module for folder in BOTH for module in folder.glob("*.js"))
FILES = sorted(file for folder in BOTH for file in folder.iterdir())


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_nothing_is_markup_inline_or_from_elsewhere(file: Path) -> None:
    """No text becomes markup, no style or handler stands in an attribute, no address is outside the origin."""
    text = file.read_text(encoding="utf-8")
    assert MARKUP_SINKS.findall(text) == []
    assert not re.search(r"<style|\sstyle=|javascript:|cssText|setAttribute\(\s*[\"'](style|on\w+)", text)
    assert not re.search(r"(?:https?|wss?)://|(?<=[\"'(])//[a-z]", text)
    assert re.findall(r"<script[^>]*>(?!</script>)", text) == []
    assert len(text.splitlines()) < 400


def test_the_token_stays_in_the_tab() -> None:
    """It is kept in sessionStorage, and sent in a header only: never in an address."""
    whole = "".join(module.read_text(encoding="utf-8") for module in MODULES)
    assert "session_token" not in whole
    assert re.findall(r"localStorage", whole) == []
    assert re.findall(r"\$\{[^}]*token", whole) == ["${await this.token"]


@pytest.mark.parametrize("folder", BOTH, ids=lambda folder: folder.name)
def test_everything_it_names_is_there(folder: Path) -> None:
    """Each stylesheet, script and import exists and exports what is asked of it; each module is preloaded."""
    html = (folder / "index.html").read_text(encoding="utf-8")
    named = {PAGE / name for name in re.findall(r"\"page/([\w./]+)", html)}
    assert {file for file in named if not file.is_file()} == set()
    assert {file for file in folder.iterdir() if file.suffix != ".html"} <= named
    for module in folder.glob("*.js"):
        text = module.read_text(encoding="utf-8")
        for names, target in re.findall(r"import \{([^}]+)\} from \"(\.\.?/[\w./]+)\"", text):
            file = (folder / target).resolve()
            assert file in named, f"{module.name} imports {target}, which is not preloaded"
            exported = set(
                re.findall(r"^export (?:async )?(?:const|function|class) (\w+)", file.read_text(encoding="utf-8"), re.M)
            )
            assert {name.strip() for name in names.split(",")} <= exported, f"{module.name} imports from {target}"


def test_roles_are_those_of_the_server() -> None:
    session = (PAGE / "client" / "connection" / "session.js").read_text(encoding="utf-8")
    assert set(re.findall(r'"(\w+)"', session.partition("// The roles")[2])) == {*OPERATORS, *AUDITORS}


GROUNDS = ("--paper", "--hover", "--accent-soft", "--danger-soft")
"""What a line of the tree stands on: as it is, pointed at, picked, and just started again."""


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("ground", GROUNDS)
@pytest.mark.parametrize("ink", ["--ink", "--ink-3", "--danger", "--warn"])
def test_a_line_of_the_tree_hascontrast(theme: str, ground: str, ink: str) -> None:
    """At least 4.5 to 1 (WCAG 2.2, 1.4.3)."""
    block = (
        (PAGE / "frame" / "tokens.css").read_text(encoding="utf-8").split(':root[data-theme="dark"]')[theme == "dark"]
    )
    colours = dict(re.findall(r"(--[\w-]+): (#[0-9a-f]{6});", block.split("@media")[0]))
    assert contrast(colours[ink], colours[ground]) >= 4.5
