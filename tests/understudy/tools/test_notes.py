"""`save_note`: a note becomes a file of the user's, under a name that says what is in it."""

from collections.abc import Callable

import pytest

from understudy.tools import ToolContext, ToolError
from understudy.tools.notes import MAX_NOTE, MAX_TITLE, save_note


async def test_a_note_is_kept_whole(attach: Callable[..., ToolContext]) -> None:
    """What the file holds is what was said, under its first words."""
    context = attach()
    result = await save_note.call({"text": "Buy milk, eggs and a large loaf of bread\nSoon."}, context)
    file = await context.files.get(result.value["file_id"])
    assert file.path.read_text() == "Buy milk, eggs and a large loaf of bread\nSoon."
    assert (result.value["name"], file.media_type) == ("Buy milk, eggs and a large.txt", "text/plain")
    assert result.summary == "Saved as Buy milk, eggs and a large.txt"


@pytest.mark.parametrize(
    ("title", "name"), [("Shopping", "Shopping.txt"), ("x" * 200, "x" * MAX_TITLE + ".txt"), ("a\nb. ", "a b.txt")]
)
async def test_a_title_names_it(attach: Callable[..., ToolContext], title: str, name: str) -> None:
    """In one line, not too long, with one full stop before the ending."""
    result = await save_note.call({"text": "Buy milk", "title": title}, attach())
    assert result.value["name"] == name


@pytest.mark.parametrize("text", ["", " \n", "x" * (MAX_NOTE + 1), "\ud800"])
async def test_what_is_no_note_is_refused(attach: Callable[..., ToolContext], text: str) -> None:
    """Nothing, too much, and what is no text."""
    context = attach()
    with pytest.raises(ToolError) as refused:
        await save_note.call({"text": text, "title": "t"}, context)
    assert refused.value.code == "invalid_arguments"


def test_it_never_writes_unasked() -> None:
    """Its calls need consent, whatever they are called with."""
    assert save_note.approval_mode == "always"
