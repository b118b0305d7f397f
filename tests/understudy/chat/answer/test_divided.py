"""Long tables and lists come in pieces: the same ones however the text arrives, and with the rows of the whole."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.understudy.chat.answer.test_markdown import Blocks, streamed
from understudy.chat.answer import divided
from understudy.chat.answer.blocks import Part
from understudy.chat.answer.markdown import Renderer, render

ROWS = 3
SEAM = re.compile(
    r'</tbody>\n</table>\n<table class="continued">\n<thead>.*?</thead>\n<tbody>\n'
    r'|</ul>\n<ul class="continued">\n|</ol>\n<ol (?:class="continued" start="\d+"|start="\d+" class="continued")>\n',
    re.DOTALL,
)
LINES = [
    "|a|b|", "|a|b|", "|-|:-:|", "|-|:-:|", "|1|2|", "|1|2|", "|`x|y`|*z|", "|x", "a|b", "-|-", "-:|-", "|<b>|[x]|",
    "|\\||", "- item", "- item", "- *open", "- a|b", "* star", "1. one", "1. one", "2. two", "7) seven", "7) seven",
    "  - nested", "  more", "    deep", "lazy", "- [x] done", "- ", "-", "1.", "- ```", "  ```", "```", "> quote",
    "\\[", "\\]", "  \\[ a", "[x]: /url", "- [x]: /url", "[^1]: note", "# heading", "---", "***", "- - -", "", "", " ",
]  # fmt: skip
documents = st.lists(st.sampled_from(LINES), max_size=30).map("\n".join)
rows = st.lists(st.sampled_from(["|1|2|", "|`x|y`|*z|", "|x", "a|b", "|<b>|[x]|", "|a|b|c|", "|-|-|"]), max_size=20)
items = st.lists(st.sampled_from(["1. a", "1. *b*", "7. c\n   - d", "1. e\nlazy", "1. ```\n   f\n   ```"]), max_size=20)


@contextmanager
def pieces_of(count: int) -> Iterator[None]:
    """Divide tables and lists after so many rows and items in the block."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(divided, "PIECE_LINES", count)
        yield


@given(documents, st.integers(1, 9))
@settings(max_examples=600, deadline=None)
@example("- item\n- item\n- item\n- item\n- a|b\n-|-\n- item\n", 1)
@example("|a|b|\n|-|-|\n" + "|1|2|\n" * 4 + "\\[\n\\]\n|1|2|\n", 2)
@example("- item\n\n" * 5 + "- [x]: /url\n\n[x]\n", 3)
def test_pieces_are_the_same_however_the_text_arrives(text: str, size: int) -> None:
    """Joined, the blocks of a stream are the HTML of the whole."""
    with pieces_of(ROWS):
        blocks, found = streamed([text[at : at + size] for at in range(0, len(text), size)])
        if blocks.exact:
            assert "".join(block.html for block in found) == render(text)
        assert [block.start for block in found] == [0, *(block.end for block in found)][: len(found)]


@given(rows)
@settings(max_examples=200, deadline=None)
def test_a_divided_table_has_the_rows_of_the_whole(lines: list[str]) -> None:
    text = "|a|*b*|\n|-|:-:|\n" + "".join(f"{line}\n" for line in lines)
    whole = render(text)
    with pieces_of(ROWS):
        assert SEAM.sub("", render(text)) == whole


@given(items)
@settings(max_examples=200, deadline=None)
def test_a_divided_list_has_the_items_of_the_whole(lines: list[str]) -> None:
    """Each piece goes on counting, whatever numbers the source has."""
    text = "".join(f"{line}\n" for line in lines)
    whole = render(text)
    with pieces_of(ROWS):
        html = render(text)
    assert SEAM.sub("", html) == whole
    found = re.findall(r'class="continued" start="(\d+)"|start="(\d+)" class', html)
    starts = [int(one or other) for one, other in found]
    first = 7 if text.startswith("7") else 1
    assert starts == [first + ROWS * piece for piece in range(1, len(starts) + 1)]


@pytest.mark.parametrize(
    "text",
    ["|a|b|\n|-|-|\n" + "|some *words*|and `more` of them|\n" * 1_500, "- some *words* and more of them\n" * 1_800],
    ids=["table", "list"],
)
def test_a_preview_shows_only_what_is_new(text: str) -> None:
    """However long a table or list is, what is cut and previewed of it is at most a piece, and half of another."""
    blocks, longest = Blocks(), 0
    for at in range(0, len(text), 100):
        part = blocks.feed(text[at : at + 100])
        if part is not None:
            longest = max(longest, len(part.text))
            blocks.cut(part)
        assert blocks.open_end is not None
        longest = max(longest, len(blocks.open_end[1].text))
    assert longest < 2 * divided.PIECE_CHARACTERS
    assert blocks.open_end is not None
    preview = Renderer().preview(blocks.open_end[1])
    assert re.match(r'<(table|ul) class="continued">\n', preview)
    assert SEAM.sub("", "".join(block.html for block in blocks.rest()))


@pytest.mark.proof("timing")
def test_a_table_with_a_very_long_head_is_one_piece() -> None:
    """Each piece would repeat it."""
    head = "|" + "a|" * 1_500 + "\n|" + "-|" * 1_500 + "\n"
    assert render(head + "|1|\n" * 90).count("<table") == 1


def test_a_loose_end_of_a_list_does_not_move_what_was_shown() -> None:
    """A blank line between two items is for those of its piece."""
    with pieces_of(ROWS):
        html = render("- a\n- b\n- c\n- d\n\n- e\n")
    assert html == (
        '<ul>\n<li>a</li>\n<li>b</li>\n<li>c</li>\n</ul>\n'
        '<ul class="continued">\n<li>\n<p>d</p>\n</li>\n<li>\n<p>e</p>\n</li>\n</ul>\n'
    )  # fmt: skip


def test_a_cut_with_a_wrong_beginning_is_refused() -> None:
    """It comes from another process."""
    part = Part("|1|2|\n", begun=divided.Begun("|a|b|\n|-|-|\n"))
    cut = Renderer().cut(part)
    assert cut.fits(part)
    assert not cut._replace(begun=divided.Begun("|a|\n")).fits(part)
    assert not cut._replace(begun=divided.Begun("a" * 3_000 + "\n\n")).fits(part)
