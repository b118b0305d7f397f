"""Every command of `understudy` that a page shows exists, with its options."""

import re
import shlex
from pathlib import Path

import click
import pytest

from tests.rigs.doc_tables import DOCS, ROOT
from understudy.cli.main import main

PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


def calls(text: str) -> list[list[str]]:
    """Return the arguments of each call of `understudy` in the console blocks of a page."""
    commands = []
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        for line in re.findall(r"^\s*\$ (.*)$", re.sub(r"\\\n\s*>?\s*", "", block), re.MULTILINE):
            words: list[str] = []
            if not re.search(r"\bunderstudy ", line):
                continue  # it may be the beginning of a text of several lines
            lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
            lexer.whitespace_split = True
            for word in [*lexer, ";"]:
                if not set(word) <= set(";&|<>()"):
                    words.append(word)
                    continue
                while words and re.fullmatch(r"\w+=.*", words[0]):  # variables of this call
                    words.pop(0)
                if words[:1] == ["understudy"]:
                    commands.append(words[1:])
                words = []
    return commands


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_of_a_page_are_there(path: Path) -> None:
    """The values of the options are not checked: files of the examples are not there."""
    for words in calls(path.read_text()):
        command: click.Command = main
        while True:
            _, words, _ = command.make_parser(click.Context(command)).parse_args(words)
            if not isinstance(command, click.Group):
                break
            name, *words = words
            subcommand = command.get_command(click.Context(command), name)
            assert subcommand is not None, f"understudy {name}"
            command = subcommand


def test_the_calls_of_a_line_are_found() -> None:
    text = "```console\n$ A=1 understudy serve --port 1 2> log & # start\n$ echo 'a|b' | understudy scrub && ls\n```\n"
    assert calls(text) == [["serve", "--port", "1", "2"], ["scrub"]]
    assert sum(len(calls(page.read_text())) for page in PAGES) > 40
