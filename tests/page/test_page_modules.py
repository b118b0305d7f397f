"""The chat page's modules: their own tests under Node, and what must never be in them."""

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.page.styles import MARKUP_SINKS, contrast
from tests.servers.needed import program
from tests.servers.page import bundle_page
from transport.wire.codes import CLOSES
from understudy.wire.codes import ERRORS

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "understudy" / "page"
EXTENSIONS = ROOT / "tests" / "extensions"  # their tests of their views stand there
WORKER = PAGE / "worker" / "worker.js"  # the page does not load it
LIBRARIES = {
    *(PAGE / "lib" / source.name for source in (ROOT / "packaging" / "page" / "libraries").glob("*.js")),
    PAGE / "lib" / "more_colours.js",
}
"""Not ours: made of npm's packages, with the bundle, and so not in every checkout."""
OTHERS = ("admin", "bundle", "embed", "join", "lib", "observer", "share")
MODULES = sorted({path for path in PAGE.rglob("*.js") if path.parent.name not in OTHERS} - {WORKER})
SHARED = sorted(path for name in ("embed", "join", "share") for path in (PAGE / name).glob("*.js"))
"""Pages of their own, of these and some of the modules."""
PARTS = sorted(
    path for name in ("main.js", "admin.js", "sign_in.js") for path in (PAGE / "extensions").glob(f"*/{name}")
)
"""What pages load of extensions by a name that the server gives."""
STYLES = sorted(path for path in PAGE.rglob("*.css") if path.parent.name not in OTHERS)
NAMED = re.compile(r"new URL\(\"\./([\w-]+\.css)\", import\.meta\.url\)")
AT_ONCE = sorted({*STYLES} - {path.parent / name for path in MODULES for name in NAMED.findall(path.read_text())})
"""Those that no module loads by its own."""
FILES = [
    *MODULES,
    WORKER,
    *STYLES,
    *SHARED,
    PAGE / "embed" / "index.html",
    PAGE / "share" / "index.html",
    PAGE / "join" / "index.html",
    PAGE / "index.html",
    PAGE / "icon.svg",
]
SETTER = "safe_html.js"
FACES = {
    PAGE / "branches.js",
    PAGE / "markdown.js",
    PAGE / "widget.js",
}  # documented for embedders; the page itself does not load them
XML_NAMESPACES = {"http://www.w3.org/2000/svg"}  # names, never fetched


def test_node_suite() -> None:
    """The pure parts and the protocol client pass their own suite under Node."""
    node = program("node")
    files = [str(file) for file in sorted([*Path(__file__).parent.glob("*.test.mjs"), *EXTENSIONS.rglob("*.test.mjs")])]
    done = subprocess.run([node, "--test", *files], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, failures(done.stdout) + done.stderr[-2000:]


def test_suite_with_libraries(filled_once: Callable[[Callable[[Path], None]], Path]) -> None:
    """The renderer of answers and the drawing of charts pass theirs, with the libraries that a page has."""
    node = program("node")
    environment = os.environ | {"PAGE": str(filled_once(bundle_page))}
    files = [str(file) for file in sorted(Path(__file__).parent.glob("with_libraries/*.test.mjs"))]
    command = [node, "--test", *files]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)
    assert done.returncode == 0, failures(done.stdout) + done.stderr[-2000:]


def failures(told: str) -> str:
    """Return what Node tells of the tests that failed."""
    return "\n".join(re.findall(r"^not ok .*?^  \.\.\.$", told, re.M | re.S))[:4000]


@pytest.mark.parametrize("module", [*MODULES, *SHARED], ids=lambda module: module.name)
def test_markup_enters_in_one_place_only(module: Path) -> None:
    """No module turns text into markup: DOMPurify alone does, whose nodes are used."""
    text = re.sub(r"/\*.*?\*/", "", module.read_text(encoding="utf-8"), flags=re.S)
    assert MARKUP_SINKS.findall(text) == []
    assert ("createPolicy" in text) == (module.name == SETTER)


def test_only_what_is_cleaned_is_shown() -> None:
    """DOMPurify is reached by the one module that cleans, and that by the one that renders."""
    modules = {module.name: module.read_text(encoding="utf-8") for module in [*MODULES, *SHARED]}
    assert [name for name, text in modules.items() if "DOMPurify" in re.sub(r"/\*.*?\*/", "", text, flags=re.S)] == [
        "rendering.js",
        SETTER,
    ]
    assert [name for name, text in modules.items() if "cleanerOf" in text] == ["rendering.js", SETTER]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_nothing_comes_from_elsewhere(file: Path) -> None:
    """No file names an address outside its own origin."""
    text = file.read_text(encoding="utf-8")
    outside = set(re.findall(r"(?:https?|wss?):?//[^\s\"'`)]+|(?<=[\"'(])//[a-z][^\s\"')]*", text))
    assert outside <= XML_NAMESPACES


def test_page_has_no_inline_script_style_or_handler() -> None:
    """The content security policy allows none of them."""
    html = "".join(
        (PAGE / name).read_text(encoding="utf-8")
        for name in ("index.html", "embed/index.html", "join/index.html", "share/index.html")
    )
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", html)
    assert re.findall(r"<script[^>]*>(?!</script>)", html) == []


def test_styles_are_set_by_property_only() -> None:
    """A style attribute written by a module would be refused by the policy; handlers are listeners."""
    for module in MODULES:
        assert not re.search(r"setAttribute\(\s*[\"'](style|on\w+)|cssText", module.read_text(encoding="utf-8")), (
            module.name
        )


def imported(module: Path, how: str) -> set[Path]:
    """Return the modules that a module imports, at once (`from`) or on demand (`import`)."""
    targets = re.findall(rf"\b{how}\W{{1,2}}(\.\.?/[\w./]+)\"", module.read_text(encoding="utf-8"))
    return {(module.parent / target).resolve() for target in targets}


def test_the_page_preloads_what_it_needs_at_once() -> None:
    """Each module that the entry point imports, by others or itself, and none of those that are loaded on demand."""
    html = (PAGE / "index.html").read_text(encoding="utf-8")
    named = {PAGE / name for name in re.findall(r"\"page/([\w./]+)", html)}
    assert {file for file in named if not file.is_file()} == set()
    assert {file for file in named if file.suffix == ".css"} == set(AT_ONCE)
    needed, new = set[Path](), {PAGE / "main.js"}
    while new:
        needed |= new
        new = {target for module in new for target in imported(module, "from")} - needed
    first_paint = PAGE / "frame" / "first_paint.js"  # a plain script
    assert {file for file in named if file.suffix == ".js"} == needed | {first_paint}
    on_demand = {target for module in MODULES for target in imported(module, "import")} | set(PARTS)
    assert len(on_demand) > 5
    assert not on_demand & needed, "these are loaded at once all the same"
    assert set(MODULES) - needed - FACES - {first_paint} <= on_demand | {
        target for module in [*MODULES, *SHARED] for target in imported(module, "from")
    }, "nothing loads these"


def test_every_import_exists() -> None:
    for module in MODULES:
        for target in imported(module, "from") | imported(module, "import"):
            assert target.is_file() or target in LIBRARIES, f"{module.name} imports {target}"


def test_close_codes_are_those_of_the_registry() -> None:
    """The page comes back after every close but those that this server alone gives, and that forbid it."""
    (codes,) = re.findall(
        r"STAY_AWAY = new Set\(\[([^]]+)\]",
        (PAGE / "client" / "connection" / "close_codes.js").read_text(encoding="utf-8"),
    )
    ours = {number for number, close in CLOSES.items() if number >= 4000 and not close.reconnect}
    assert {int(code) for code in codes.split(",")} == ours - {4401}  # after which it has its token renewed


def test_translated_errors_are_those_of_the_registry() -> None:
    """The page translates errors by their code; in English their sentences are the server's."""
    english = (PAGE / "client" / "messages" / "en.js").read_text(encoding="utf-8")
    sentences = dict(re.findall(r'"code\.(\w+)": "([^"]+)"', english))
    sentences.pop("offline")  # without an answer there is no code
    sentences.pop("unknown")  # a newer server's
    assert len(sentences) > 20
    assert sentences == {code: ERRORS[code].text for code in sentences}


@pytest.mark.parametrize("module", [*MODULES, *SHARED], ids=lambda module: module.name)
def test_every_imported_name_is_exported(module: Path) -> None:
    """A name that its module does not export would keep the whole page from starting."""
    for names, target in re.findall(r"import \{([^}]+)\} from \"(\.\.?/[\w./]+)\"", module.read_text(encoding="utf-8")):
        if (module.parent / target).resolve() in LIBRARIES:
            continue
        exported = set(
            re.findall(
                r"^export (?:async )?(?:const|function|class) (\w+)",
                (module.parent / target).read_text(encoding="utf-8"),
                re.M,
            )
        )
        wanted = {name.split(" as ")[0].strip() for name in names.split(",")}
        assert wanted <= exported, f"{module.name} imports from {target}"


@pytest.mark.parametrize("file", [*MODULES, *STYLES], ids=lambda file: file.name)
def test_modules_stay_small(file: Path) -> None:
    """A module stays one noun; a catalogue of messages has as many lines as there are messages."""
    lines = len(file.read_text(encoding="utf-8").splitlines())
    assert file.parent.name == "messages" or lines < (400 if file.suffix == ".js" else 500)


PHYSICAL = re.compile(
    r"^\s*((?:margin|padding|border)-(?:left|right)|left|right|(?:text-align|float|clear): (?:left|right))\b", re.M
)
SIDES = re.compile(
    r"^\s*(?:margin|padding|inset|border-(?:width|color|style)): (\S+(?: \([^)]*\))?) (\S+) (\S+) (\S+);", re.M
)


@pytest.mark.parametrize("file", STYLES, ids=lambda file: file.name)
def test_styles_have_no_left_and_right(file: Path) -> None:
    """Logical properties follow the direction of the language; four values in a row never do, if the sides differ."""
    text = re.sub(r"/\*.*?\*/", "", file.read_text(encoding="utf-8"), flags=re.S)
    assert PHYSICAL.findall(text) == []
    assert [sides for sides in SIDES.findall(re.sub(r"\([^;]*\)", "()", text)) if sides[1] != sides[3]] == []
    assert re.findall(r"translateX\((?!calc\([^;]*--onward)[^;]*;", text) == []


def test_both_dark_themes_are_one() -> None:
    """The dark colours of the switch and those of the system's preference are the same."""
    text = (PAGE / "frame" / "tokens.css").read_text(encoding="utf-8")
    blocks = [re.findall(r"(--[\w-]+): ([^;]+);", block) for block in re.findall(r"color-scheme: dark;([^}]+)}", text)]
    assert len(blocks) == 2
    assert blocks[0] == blocks[1]


TEXT_ON = {
    "--ink": ("--paper", "--surface", "--sunken", "--hover", "--bubble", "--danger-soft"),
    "--ink-2": ("--paper", "--surface", "--sunken", "--hover", "--danger-soft"),
    "--ink-3": ("--paper", "--surface", "--sunken", "--hover"),
    "--accent": ("--paper", "--surface", "--sunken"),
    "--on-accent": ("--accent",),
    "--danger": ("--danger-soft", "--sunken"),
    "--warn": ("--warn-soft", "--sunken", "--paper", "--hover"),
    "--paper": ("--danger",),
}


@pytest.mark.parametrize(("theme", "at"), [("light", 0), ("dark", 1)])
def test_code_hascontrast(theme: str, at: int) -> None:
    """Each colour of code has at least 4.5 to 1 on the ground that the page gives code."""
    ground = dict(
        re.findall(r"(--[\w-]+): (#[0-9a-f]{6});", (PAGE / "frame" / "tokens.css").read_text().split("[data-theme")[at])
    )
    block = re.findall(r"\.highlight \{([^}]+)}", (PAGE / "answer" / "highlight.css").read_text(encoding="utf-8"))[at]
    colours = re.findall(r"--code-(?!background|deleted|inserted)\w+: (#[0-9a-f]{6});", block)
    assert len(colours) == 7, theme
    assert min(contrast(colour, ground["--sunken"]) for colour in colours) >= 4.5


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("ink", "ground"), [(ink, ground) for ink, grounds in TEXT_ON.items() for ground in grounds])
def test_text_hascontrast(theme: str, ink: str, ground: str) -> None:
    """Each colour of text has at least 4.5 to 1 on each ground it stands on (WCAG 2.2, 1.4.3)."""
    text = (PAGE / "frame" / "tokens.css").read_text(encoding="utf-8")
    block = text.split(':root[data-theme="dark"]')[0 if theme == "light" else 1]
    colours = dict(re.findall(r"(--[\w-]+): (#[0-9a-f]{6});", block.split("@media")[0]))
    assert contrast(colours[ink], colours[ground]) >= 4.5
