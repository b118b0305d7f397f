"""Parsing of a message: instruction, body, clauses, and the results of this run."""

from typing import Any

import pytest

from understudy.models.model import AgentCard, FileCard, Item, MessageItem, ToolRequest, Turn, tool_result
from understudy.models.offline.request import Request, read_request


def a_request(text: str, *after: Item, files: Any = ()) -> Request:
    """Parse a message and the messages after it."""
    return read_request(Turn(AgentCard("me"), (MessageItem("user", text), *after), files=files))


@pytest.mark.parametrize(
    ("text", "instruction", "body"),
    [
        ("Summarise this: It rains.", "Summarise this", "It rains."),
        ("Summarise\nIt rains.\nIt pours.", "Summarise", "It rains.\nIt pours."),
        ("What is 2+3?", "What is 2+3?", "What is 2+3?"),
        ("Meet at 12:30", "Meet at 12:30", "Meet at 12:30"),
        ("Open https://example.org", "Open https://example.org", "Open https://example.org"),
        ("Summarise:", "Summarise:", "Summarise:"),
        ('Say "a: b" twice', 'Say "a: b" twice', 'Say "a: b" twice'),
        ("", "", ""),
        ("It rains.\nIt pours.\nSummarise this", "Summarise this", "It rains.\nIt pours."),
        ("It rains. It pours. Summarise this.", "Summarise this.", "It rains. It pours."),
        (
            "I have 3 pears. How many are left?",
            "I have 3 pears. How many are left?",
            "I have 3 pears. How many are left?",
        ),
        ("Summarise this:\nIt rains.\nIs this it?", "Summarise this", "It rains.\nIs this it?"),
        ("Hello there,\nwhat is 2+2?", "what is 2+2?", "Hello there,\nwhat is 2+2?"),
        ("What is 2+2?\nWhat is 3+3?", "What is 2+2?\nWhat is 3+3?", "What is 2+2?\nWhat is 3+3?"),
        ("rent 12, food 4\nWhat is the total?", "What is the total: 12, 4", "rent 12, food 4\nWhat is the total?"),
        ("2 rooms 12, food 4\nWhat is the total?", "What is the total?", "2 rooms 12, food 4"),
    ],
)
def test_instruction_and_body(text: str, instruction: str, body: str) -> None:
    """A colon or a line break after a short beginning separates them, or a request at the end; a colon in a time or an
    address does not, nor does a greeting. Numbers to sum up are part of the instruction."""
    request = a_request(text)
    assert (request.instruction, request.body) == (instruction, body)


@pytest.mark.parametrize(
    ("text", "clauses"),
    [
        ("profile this and chart that", ("profile this", "chart that")),
        ("First this. Then that; and so on", ("First this", "Then that", "and so on")),
        ('say "this and that" and go', ('say "this and that"', "go")),
        ("select a from data where b = 1 and c = 2", ("select a from data where b = 1 and c = 2",)),
        ("sandy", ("sandy",)),
    ],
)
def test_clauses(text: str, clauses: tuple[str, ...]) -> None:
    """The instruction is split at words and signs, but not inside quotations and queries."""
    assert a_request(text).clauses == clauses


def test_a_book_is_read_at_its_ends() -> None:
    """The body is the whole text; the scanned text is its beginning and end."""
    text = "Summarise this. " + "word " * 100_000 + "In three sentences."
    request = a_request(text)
    assert len(request.near) < 1_500
    assert request.near.endswith("In three sentences.")
    assert len(request.body) == len(text)


def test_results_are_those_after_the_last_message() -> None:
    """Only the results after the last message are read, with the arguments of their calls."""
    call = ToolRequest("c-1", "profile_table", {"file_id": "f-1"})
    old = tool_result(ToolRequest("c-0", "lookup", {}), "ok", 1, "One.")
    turn = Turn(
        AgentCard("me"),
        (
            MessageItem("user", "before"),
            old,
            MessageItem("user", "now"),
            call.item(),
            tool_result(call, "ok", {"columns": [{"name": "a"}, {"name": "b"}]}, "Two columns."),
        ),
        files=(FileCard("f-1", "a.json"), FileCard("f-2", "b.json")),
    )
    request = read_request(turn)
    assert [(each.tool, each.ok, each.summary) for each in request.results] == [("profile_table", True, "Two columns.")]
    assert [each.columns for each in request.with_columns().files] == [("a", "b"), None]


def test_a_turn_without_a_message_is_empty() -> None:
    assert read_request(Turn(AgentCard("me"), ())).text == ""
