"""The reference of the JavaScript client against its modules."""

import re

from tests.rigs.doc_tables import ROOT, code, table

PAGE = "reference/javascript-client.md"
MODULES = ROOT / "understudy" / "page"
CLIENT = (MODULES / "client.js").read_text()
PARTS = [path for path in MODULES.rglob("*.js") if path.parent.name not in ("admin", "bundle", "lib", "observer")]


def names(heading: str, column: str) -> list[str]:
    """Return the first words of the code in a column: names without their arguments."""
    return [re.split(r"\W", span)[0] for row in table(PAGE, heading) for span in code(row[column])]


def test_every_public_method_is_listed() -> None:
    text = CLIENT + "".join(
        (MODULES / "client" / "sending" / f"{base}_commands.js").read_text() for base in ("branch", "run")
    )
    public = re.findall(r"^  (?:async )?([a-z]\w+)\(", text, re.MULTILINE)
    assert set(names("Methods", "name")) == set(public) - {"constructor"}


def test_every_option_is_listed() -> None:
    (options,) = re.findall(r"constructor\(\{(.+?)\} = \{\}\)", CLIENT, re.DOTALL)
    depth, named = 0, []
    for token in re.findall(r"[({\[]|[)}\]]|\w+(?= =)(?! =>)", options):
        depth += (token in "({[") - (token in ")}]")
        if depth == 0 and token.isidentifier():
            named.append(token)
    assert names("Options", "option") == [*named]


def test_every_event_is_listed() -> None:
    assert set(names("Events", "event")) == set(re.findall(r"#emit\(\"(\w+)\"", CLIENT))
    local = {f"local.{name}" for file in PARTS for name in re.findall(r"local\(\"(\w+)\"", file.read_text())}
    local |= {name for file in PARTS for name in re.findall(r"\"(local\.\w+)\"", file.read_text())}
    assert set(re.findall(r"`(local\.\w+)`", (ROOT / "docs" / PAGE).read_text())) == local


def test_every_key_of_storage_is_listed() -> None:
    used = {key for file in PARTS for key in re.findall(r"\"understudy\.(\w+)\.?\"", file.read_text())}
    listed = set(re.findall(r"`understudy\.(\w+)", (ROOT / "docs" / PAGE).read_text()))
    assert listed == used - {"probe", "v1", "inbox", "chats"}  # a probe, a protocol, channels between tabs
