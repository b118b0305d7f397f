"""A form in the terminal: one line a field, with what is wrong said at once."""

import os
import sys
import termios
from typing import Any

import pytest

from understudy.extensions.terminal.console import ChatConsole
from understudy.extensions.terminal.form import FormEntry, WrongEntry, fields_of

SCHEMA = {
    "type": "object",
    "required": ["city", "count", "floor"],
    "properties": {
        "city": {"title": "City", "type": "string", "description": "the town"},
        "count": {"type": "integer", "minimum": 1, "maximum": 9},
        "floor": {"anyOf": [{"type": "number"}, {"type": "null"}]},
        "size": {"enum": ["small", "large", 3], "default": "small"},
        "express": {"type": "boolean", "default": False},
        "day": {"type": "string", "format": "date"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "more": {"type": "object"},
    },
}


def entered(*lines: str) -> dict[str, Any]:
    entry = FormEntry(fields_of(SCHEMA))
    for line in lines:
        entry.enter(line)
    assert entry.current is None
    return entry.answer


def test_lines_become_an_answer() -> None:
    complete = ("Ulm", "3", "2.5", "LARGE", "y", "2026-12-24", "a, b ,", '{"a": 1}')
    assert entered(*complete) == {
        "city": "Ulm", "count": 3, "floor": 2.5, "size": "large", "express": True, "day": "2026-12-24",
        "tags": ["a", "b"], "more": {"a": 1},
    }  # fmt: skip
    assert entered("Ulm", "3", "", "3", "", "", "", "") == {"city": "Ulm", "count": 3, "floor": None, "size": 3}


def test_a_prompt_says_what_may_be_entered() -> None:
    assert [field.prompt for field in fields_of(SCHEMA)] == [
        "City (the town)", "count (1 to 9)", "floor", "size (small / large / 3; else small)",
        "express (y or n; else n)", "day (2026-11-20; optional)", "tags (separated by commas; optional)",
        "more (optional)",
    ]  # fmt: skip


def test_a_secret_is_not_shown_when_it_is_asked_for_again() -> None:
    schema = {"properties": {"pin": {"type": "string", "format": "password"}}, "required": ["pin"]}
    entry = FormEntry(fields_of(schema))
    assert entry.prompt == "pin (not shown)"
    entry.enter("1234")
    entry.restart()
    assert entry.prompt == "pin (not shown) […]"
    entry.enter("")
    assert entry.answer == {"pin": "1234"}


def test_typing_into_a_terminal_is_hidden_and_shown_again(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = os.openpty()
    with os.fdopen(ours), os.fdopen(theirs) as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        screen = ChatConsole.of_process()
        echoes = []
        for hidden in (True, True, False):
            screen.hide_typing(hidden)
            echoes.append(bool(termios.tcgetattr(terminal)[3] & termios.ECHO))
    assert echoes == [False, False, True]


def test_an_empty_line_keeps_a_value() -> None:
    entry = FormEntry(fields_of(SCHEMA), {"city": "Ulm", "count": 3})
    assert entry.prompt == "City (the town) [Ulm]"
    for line in ("", "4", "", "", "", "", "", ""):
        entry.enter(line)
    assert (entry.answer, entry.prompt) == ({"city": "Ulm", "count": 4, "floor": None}, "")
    entry.restart()
    assert entry.prompt == "City (the town) [Ulm]"
    entry.enter("")
    assert entry.prompt == "count (1 to 9) [4]"


@pytest.mark.parametrize(
    ("before", "line", "sentence"),
    [
        ((), "", "this is needed; /decline declines to answer"),
        (("Ulm",), "2.5", "a whole number, please"),
        (("Ulm",), "10", "1 to 9, please"),
        (("Ulm", "3"), "high", "a number, please"),
        (("Ulm", "3", ""), "medium", "one of small, large, 3, please"),
        (("Ulm", "3", "", ""), "perhaps", "y or n, please"),
        (("Ulm", "3", "", "", "", "", ""), "{", "JSON, please"),
    ],
)
def test_a_wrong_line_is_refused_and_its_field_asked_for_again(before: Any, line: str, sentence: str) -> None:
    entry = FormEntry(fields_of(SCHEMA))
    for earlier in before:
        entry.enter(earlier)
    waiting = entry.current
    with pytest.raises(WrongEntry, match=sentence.replace("(", r"\(")):
        entry.enter(line)
    assert entry.current is waiting
    entry.restart()
    assert (entry.answer, entry.current) == ({}, entry.fields[0])
