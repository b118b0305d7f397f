"""`save_note`: a note becomes a file of the user."""

from collections.abc import Callable

import pytest

from understudy.tools import ToolContext, ToolError
from understudy.tools.notes import MAX_NOTE, MAX_TITLE, save_note


async def test_a_note_is_kept_whole(attach: Callable[..., ToolContext]) -> None:
    """The file has the whole text; its name is the first words."""
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
    """The title becomes one short line with a single full stop before the suffix."""
    result = await save_note.call({"text": "Buy milk", "title": title}, attach())
    assert result.value["name"] == name


@pytest.mark.parametrize("text", ["", " \n", "x" * (MAX_NOTE + 1), "\ud800"])
async def test_an_invalid_note_is_refused(attach: Callable[..., ToolContext], text: str) -> None:
    """Empty, overlong and unencodable texts are refused."""
    context = attach()
    with pytest.raises(ToolError) as refused:
        await save_note.call({"text": text, "title": "t"}, context)
    assert refused.value.code == "invalid_arguments"


def test_it_never_writes_unasked() -> None:
    """Every call needs approval."""
    assert save_note.approval_mode == "always"
