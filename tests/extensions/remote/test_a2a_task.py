"""What a remote has said of a task: its text once, whatever its streams repeat; its files; its questions."""

import base64
from collections.abc import Sequence
from typing import Any

import pytest

from understudy.extensions.remote.a2a_task import ANY_TEXT, DECISION, MAX_FILES, BadTask, RemoteTask

OWN = "https://agents.example.org/".__eq__
IDS = {"taskId": "t", "contextId": "c"}


def task_with(*texts: str, state: str = "WORKING") -> dict[str, Any]:
    artifacts = [{"artifactId": str(place), "parts": [{"text": text}]} for place, text in enumerate(texts)]
    status = {"state": f"TASK_STATE_{state}"}
    return {"task": {"id": "t", "contextId": "c", "status": status, "artifacts": artifacts}}


def piece(name: str, *parts: Any, append: bool = True) -> dict[str, Any]:
    message_parts = [{"text": part} if isinstance(part, str) else part for part in parts]
    return {"artifactUpdate": {**IDS, "artifact": {"artifactId": name, "parts": message_parts}, "append": append}}


def status(state: str, *parts: Any, at: str = "1") -> dict[str, Any]:
    message_parts = [{"text": part} if isinstance(part, str) else part for part in parts]
    about = {"state": f"TASK_STATE_{state}", "timestamp": at, "message": {"parts": message_parts}}
    return {"statusUpdate": {**IDS, "status": about}}


@pytest.mark.parametrize(
    ("events", "expected", "answer"),
    [
        ([task_with(), piece("0", "one "), piece("0", "two"), piece("1", "three")], "one two\n\nthree", None),
        ([task_with(), piece("0", "one two"), task_with("one t"), piece("0", "wo three")], "one two three", None),
        ([task_with(), piece("0", "one two"), task_with(), piece("0", "one "), piece("0", "two 3")], "one two 3", None),
        ([task_with(), piece("0", ""), piece("1", ""), piece("1", "b"), piece("2", "c")], "b\n\nc", None),
        ([task_with(), piece("0", "a"), piece("1", "b"), piece("0", "A")], "a\n\nb", "a\n\nb\n\naA\n\nb"),
        ([task_with(), piece("0", "draft"), piece("0", "final", append=False)], "draft", "draft\n\nfinal"),
        ([task_with(), status("COMPLETED", "It is done.")], "", "It is done."),
        ([task_with(), piece("0", {"data": 5}), status("COMPLETED")], "", "```json\n5\n```"),
        ([{"message": {"parts": [{"text": "at once"}]}}], "at once", None),
    ],
)
def test_text_is_shown_once(events: Sequence[dict[str, Any]], expected: str, answer: str | None) -> None:
    task, text = RemoteTask(OWN), ""
    for event in events:
        task.apply(event)
        text += task.take_text()
    assert text == expected
    assert text + task.take_rest() == (expected if answer is None else answer)


def test_a_thought_is_told_once() -> None:
    task = RemoteTask(OWN)
    task.apply(task_with())
    assert [task.apply(status("WORKING", "looks", at=at)) for at in ("1", "1", "2")] == [["looks"], [], ["looks"]]
    assert task.apply(status("INPUT_REQUIRED", "Which?")) == []


def test_files_are_bounded_and_replaced_with_their_artifact() -> None:
    file = {"raw": base64.b64encode(b"abc").decode(), "filename": "C:\\dir/../a.txt", "mediaType": "text/plain"}
    task = RemoteTask(OWN)
    for _ in range(2):
        task.apply(piece("0", *[file] * (MAX_FILES + 2), append=False))
    assert [file.name for file in task.files] == ["a.txt"] * MAX_FILES
    assert (task.files[0].content, task.left_out) == (b"abc", 4)
    with pytest.raises(BadTask, match="malformed file"):
        RemoteTask(OWN).apply(piece("1", {"raw": "!!"}))


def test_a_question_has_the_form_that_the_remote_gives() -> None:
    schema = {"type": "object", "properties": {"colour": {"type": "string"}}}
    questions = [
        (["Which?"], ("text", "", ANY_TEXT)),
        (["May it?", {"data": {"call_id": "k", "tool": "send"}}], ("call_id", "k", DECISION)),
        (["Which?", {"data": {"question_id": "q", "schema": schema}}], ("question_id", "q", schema)),
        (["Which?", {"data": {"question_id": "q", "schema": {"type": "string"}}}], ("text", "", ANY_TEXT)),
    ]
    for parts, expected in questions:
        task = RemoteTask(OWN)
        task.apply(task_with())
        task.apply(status("INPUT_REQUIRED", *parts))
        question = task.question()
        assert (question["kind"], question["id"], question["schema"]) == expected
        assert question["title"] == parts[0]


@pytest.mark.parametrize(
    "forged",
    [
        {"task": {"id": "other", "contextId": "c"}},
        {"statusUpdate": {"taskId": "other", "contextId": "c"}},
        {"artifactUpdate": {**IDS, "contextId": "other", "artifact": {}}},
        {"task": {"contextId": "c"}},
        {"surprise": {}},
    ],
)
def test_a_response_for_another_task_is_refused(forged: dict[str, Any]) -> None:
    task = RemoteTask(OWN)
    task.apply(task_with())
    with pytest.raises(BadTask):
        task.apply(forged)
