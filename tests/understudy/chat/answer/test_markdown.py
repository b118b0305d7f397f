"""Answers become safe HTML. The joined blocks equal the whole, at a cost that grows with the text."""

import re
import time
from html import unescape
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pygments.lexers import get_all_lexers

from sanitization import STANDARD
from understudy.chat.answer import code as highlighting
from understudy.chat.answer.blocks import BlockRenderer, Cut, Part, RenderedBlock
from understudy.chat.answer.code import (
    CODE_CLASSES,
    CODE_MAX,
    LANGUAGES,
    PIECE_CHARACTERS,
    PIECE_LINES,
    PIECE_MAX,
    Before,
    CodePiece,
    CpuTimeExceeded,
)
from understudy.chat.answer.markdown import REFERENCES_MAX, Renderer, render

LINES = [
    "", " ", "text", "more *text* and `code`", "# heading", "#", "===", "---", "***", "- item", "  - nested",
    "  continued", "* star", "1. one", "2. two", "3) three", "> quote", ">", "> - in quote", "```python", "```",
    "~~~", "    indented", "|a|b|", "|-|:-:|", "|1|2|", "a|b", "-|-", "[x]", "[x]: /url", "[x]:", "/url",
    "'title'", "[x][y]", "![i](/a.png)", "<b>bold</b>", "https://example.org/a", "x \\", "x  ", "\ttab",
    "~~gone~~", "&amp; <", "**open", "10. ten", "-", "`` ` ``",
    "\\[", "\\]", "$$", "x = 1", "\\[ a \\]", "$$a$$ b", "is \\(a^2\\) and $b$", "costs $5", "- [ ] task", "- [x] done",
    "note[^1]", "[^1]: the note", "[^n2]:",
]  # fmt: skip
ENDS = ["\n", "\n", "\n", "\n\n", "\r\n", "\r", ""]
documents = st.lists(st.tuples(st.sampled_from(LINES), st.sampled_from(ENDS)), max_size=14).map(
    lambda lines: "".join(line + end for line, end in lines)
)


class Blocks(BlockRenderer):
    """A `BlockRenderer` that renders in place."""

    def __init__(self, renderer: Renderer | None = None) -> None:
        super().__init__()
        self.renderer = renderer or Renderer()

    def write(self, delta: str) -> list[RenderedBlock]:
        """Feed a piece. Return the blocks that it closed."""
        return self.cut(self.feed(delta))

    def cut(self, part: Part | None) -> list[RenderedBlock]:
        """Return the blocks that a part closes."""
        if part is None:
            return []
        cut = None if self.failed else self.renderer.cut(part)
        assert cut is None or cut.fits(part)
        return self.accept_cut(part, cut)

    def rest(self) -> list[RenderedBlock]:
        """Return the last blocks."""
        return self.cut(self.finish())


def streamed(chunks: list[str], renderer: Renderer | None = None) -> tuple[Blocks, list[RenderedBlock]]:
    """Return the blocks of a text that arrives in these pieces."""
    blocks = Blocks(renderer)
    return blocks, [block for chunk in chunks for block in blocks.write(chunk)] + blocks.rest()


@given(documents, st.integers(1, 9))
@settings(max_examples=400, deadline=None)
@example("[x]\n\n[x]: /url\n", 1)
@example("- a\n\n\n- b\n\nc\n", 3)
@example("para\n#hash\n", 6)
@example("a\r\nb\r\n\r\nc", 2)
def test_blocks_joined_are_the_whole(text: str, size: int) -> None:
    """Unless a reference is defined below its use, the joined blocks are the whole text's HTML; they tile the text."""
    blocks, found = streamed([text[at : at + size] for at in range(0, len(text), size)])
    if blocks.exact:
        assert "".join(block.html for block in found) == render(text)
    assert [block.start for block in found] == [0, *(block.end for block in found)][: len(found)]
    assert not text[found[-1].end if found else 0 :].strip()


@given(documents, st.data())
@settings(max_examples=200, deadline=None)
def test_blocks_do_not_depend_on_the_cut(text: str, data: st.DataObject) -> None:
    """Random pieces give the blocks that single characters give."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=5)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert streamed(pieces)[1] == streamed(list(text))[1]


def test_a_block_comes_as_soon_as_it_is_closed() -> None:
    """A blank line closes a paragraph, a fence its code, the line itself a heading; a list waits for a line that is no
    item.
    """
    blocks = Blocks()
    fed = [
        (line, [block.html.split(">")[0] for block in blocks.write(line)])
        for line in ("# t\n", "para\n", "\n", "- a\n", "\n", "- b\n", "\n", "after\n", "```\n", "x\n", "```\n", "end")
    ]
    assert fed == [
        ("# t\n", ["<h1"]), ("para\n", []), ("\n", ["<p"]), ("- a\n", []), ("\n", []), ("- b\n", []), ("\n", []),
        ("after\n", ["<ul"]), ("```\n", ["<p"]), ("x\n", []), ("```\n", ['<div class="highlight"']), ("end", []),
    ]  # fmt: skip
    assert blocks.rest() == [RenderedBlock(36, 39, "<p>end</p>\n")]


def test_only_the_end_of_a_line_gives_a_part() -> None:
    """A carriage return at the very end may be the first half of a line end, so it gives none."""
    blocks = Blocks()
    assert [blocks.feed(piece) for piece in ("# ti", "", "tle", "\r")] == [None] * 4
    assert blocks.write("\n") == [RenderedBlock(0, 9, "<h1>title</h1>\n")]
    assert blocks.feed("# a\r") is None
    assert blocks.write("x") == [RenderedBlock(9, 13, "<h1>a</h1>\n")]
    assert blocks.rest() == [RenderedBlock(13, 14, "<p>x</p>\n")]


def test_offsets_tile_the_text() -> None:
    """A block's characters are its own and the blank lines before it."""
    _, found = streamed(["a\n\nb\n\n# c\n"])
    assert [(block.start, block.end) for block in found] == [(0, 2), (2, 5), (5, 10)]


def test_references_work_when_they_are_defined_above() -> None:
    """A definition in an earlier block serves later ones."""
    blocks, found = streamed(["[x]: https://example.org\n\nsee [x]\n"])
    assert blocks.exact
    assert 'href="https://example.org"' in found[-1].html


def test_a_reference_defined_below_its_use_makes_blocks_inexact() -> None:
    """The block stays as shown, `exact` is false, and rendering the whole shows the link."""
    text = "see [x]\n\n[x]: https://example.org\n"
    blocks, found = streamed([text])
    assert not blocks.exact
    assert found[0].html == "<p>see [x]</p>\n"
    assert 'href="https://example.org"' in render(text)


def test_raw_html_is_shown_as_text() -> None:
    assert render("a <b>x</b> <script>y</script>") == "<p>a &lt;b&gt;x&lt;/b&gt; &lt;script&gt;y&lt;/script&gt;</p>\n"


@pytest.mark.parametrize(
    "text",
    ["[x](javascript:alert(1))", "[x](data:text/html,y)", "<javascript:x>", "[x](vbscript:y)", "![x](javascript:y)",
     "[x]\n\n[x]: javascript:y", "[x](\u2028javascript:y)", "![x](data:text/html,y)"],
)  # fmt: skip
def test_nothing_in_an_answer_runs_or_calls_home(text: str) -> None:
    """No scripting address and no image of a foreign host passes."""
    html = render(text)
    assert "href=" not in html
    assert "src=" not in html


def test_a_policy_names_hosts_whose_images_are_shown() -> None:
    """Images of the own host are always shown, others if the policy names their host."""
    assert 'src="/files/a.png"' in render("![a](/files/a.png)")
    assert 'src="https://img.org/a.png"' in Renderer(STANDARD.with_image_hosts("img.org")).render(
        "![a](https://img.org/a.png)"
    )


def test_images_of_other_hosts_are_links_to_them() -> None:
    """Nothing is fetched; the words say what is there, the address if there are none."""
    html = render('![a *chart*](https://img.org/a.png "t") ![](//img.org/b) ![own](/a/f.png) ![file](/api/files/f)')
    assert 'class="image"' in html
    assert '<a href="https://img.org/a.png"' in html
    assert ">a chart</a>" in html
    assert ">//img.org/b</a>" in html
    assert html.count("<img") == html.count("src=") == html.count('src="/a/f.png"') == 1
    assert '<a href="/api/files/f" class="image"' in html


def test_tasks_have_a_box() -> None:
    """A box that is ticked or not, in place of the brackets; other brackets stay."""
    html = render("- [x] *done*\n- [ ] open\n- [z] other\n- [ ]\n\n[ ] no item\n")
    assert '<li class="task"><span class="task done">☑</span> <em>done</em></li>' in html
    assert '<li class="task"><span class="task">☐</span> open</li>' in html
    assert "<li>[z] other</li>" in html
    assert "<p>[ ] no item</p>" in html


def test_footnotes_are_linked_both_ways() -> None:
    """The mark leads to the note and the note to the mark; a regular expression is no mark."""
    html = render("A[^1] b[^n2] [^abc]\n\n[^1]: The *note*\nand more\n[^n2]: Second\n")
    assert html.count('<sup class="footnote"><a href="#note-') == 2
    assert '<div class="footnote"><a href="#mark-1"' in html
    assert "<p>The <em>note</em>\nand more</p>" in html
    assert "[^abc]" in html


def test_bare_links_need_a_scheme() -> None:
    """An address becomes a link; a file's name with a country's ending does not."""
    html = render("https://example.org/a_b and main.py, setup.sh, a@b.org")
    assert html.count("<a ") == 1
    assert 'rel="noopener noreferrer nofollow"' in html


def test_tables_keep_their_alignment() -> None:
    """The alignment is an attribute, because styles do not pass."""
    assert render("|a|b|\n|:-:|-:|\n|1|2|\n").count('align="center"') == 2


def test_code_is_coloured_by_class() -> None:
    """Classes of the fixed set, no style; the text within is the code, escaped."""
    html = render("```python\ndef f(x): return x < 1  # é\n```\n")
    assert html.startswith(
        '<div class="highlight"><span class="language">Python</span><pre><code><span class="k">def</span>'
    )
    assert "style=" not in html
    assert "&lt;" in html
    assert {part.split('"')[0] for part in html.split('<span class="')[1:]} <= CODE_CLASSES | {"language"}


@pytest.mark.parametrize(
    ("info", "named"),
    [
        ("", ""), ("nosuchlanguage", "nosuchlanguage"), ("text", "Text"), ("<script>", "&lt;script&gt;"),
        ("python" + "x" * 50, "python" + "x" * 26), ("mermaid", "Mermaid diagram"), ("\u202epy", ""),
    ],
)  # fmt: skip
def test_other_code_is_plain_and_named(info: str, named: str) -> None:
    """Unknown languages are shown without colours, under the name that stands behind the fence."""
    label = f'<span class="language">{named}</span>' if named else ""
    code = "<pre><code>a &lt; b\n</code></pre>"
    assert render(f"```{info}\na < b\n```") == f'<div class="highlight">{label}{code}</div>\n'


LEXERS = {alias for _, aliases, _, _ in get_all_lexers() for alias in aliases}
NAMES = sorted(LEXERS | LANGUAGES | {"csv", "jsonl", "é", "c c", "0", "-", "\\", "<", "../x", "python;", "PYTHON"})
"""Every name that can stand behind a fence: those of all lexers there are, those we colour, and some of no lexer."""


def test_every_name_of_a_language_gives_the_code() -> None:
    """With or without a lexer, each character of the code is shown."""
    code = 'a,b\n{"c": [1, null]}\n<d> & "e"\n'
    for name in NAMES:
        html = re.sub(r'<span class="language">[^<]*</span>', "", render(f"```{name}\n{code}```"))
        assert unescape(re.sub(r"<[^>]*>", "", html)) == code + "\n", name


def test_every_language_that_is_coloured_has_a_lexer() -> None:
    assert set() == LANGUAGES - LEXERS


def test_long_code_is_not_coloured() -> None:
    """Pieces beyond `CODE_MAX` are plain."""
    html = render("```python\n" + "x = 1\n" * (CODE_MAX // 6 + 200) + "```").split('<div class="highlight')
    assert '<span class="n">' in html[1]
    assert "<span" not in html[-1]


def test_a_piece_with_a_very_long_line_is_not_coloured() -> None:
    """Its length alone decides, so it looks the same on a busy machine; the code after it has colours again."""
    line = "y = " + "1 + " * (PIECE_MAX // 4) + "1\n"
    first, second = render(f"```python\n{line}x = 1\n```").split('<div class="highlight')[1:]
    assert "<span" not in first.partition("</span>")[2]
    assert '<span class="n">x</span>' in second


def test_short_lines_are_not_read_again_and_again() -> None:
    """What a lexer reads for a piece beside it is bounded in lines, too: 80 empty ones would come with 1,000 more."""
    before = Before().and_then("\n" * 900).and_then("x\n" * 3)
    assert before == Before("\n" * 37 + "x\n" * 3, 906)


def slow_at(monkeypatch: pytest.MonkeyPatch, word: str) -> list[str]:
    """Have pieces with this word exceed their limit. Return a list that gets the pieces which were tried."""
    tried, coloured = list[str](), highlighting._coloured

    def colour(piece: CodePiece, lexer: Any) -> str:
        tried.append(piece.text)
        if word in piece.text:
            raise CpuTimeExceeded
        return coloured(piece, lexer)

    monkeypatch.setattr(highlighting, "_coloured", colour)
    return tried


@pytest.mark.parametrize("size", [1, 90, 100_000])
def test_code_after_a_piece_that_takes_too_long_has_no_colours(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Also in later blocks; streamed in any pieces or rendered at once, the HTML is the same."""
    tried = slow_at(monkeypatch, "slow")
    code = "x = 1\n" * PIECE_LINES + "slow = 1\n" * PIECE_LINES + "y = 1\n" * PIECE_LINES
    text = f"before\n\n```python\n{code}```\n\nbetween\n\n- item\n\n```python\nz = 1\n```\n"
    whole = render(text)
    assert len(tried) == 2
    assert Renderer().render_blocks(text) == (whole, True)
    _, found = streamed([text[at : at + size] for at in range(0, len(text), size)])
    assert "".join(block.html for block in found) == whole
    assert len(tried) == 6
    assert '<span class="n">x</span>' in whole
    assert not any(f'<span class="n">{word}</span>' in whole for word in ("slow", "y", "z"))
    assert unescape(re.sub(r"<[^>]*>", "", whole)).count("y = 1\n") == PIECE_LINES


LONG_CODE = {
    "lines": "x = 1\n" * 500,
    "a string over pieces": 'a = """\n' + "text of the string\n" * 150 + '"""\nb = 1\n' * 3,
    "long lines": ("y = " + "1 + " * 700 + "1\n") * 9,
    "exactly two pieces": "z = 1\n" * 160,
    "within a list": "- item\n" * 90,
}


@pytest.mark.parametrize("size", [1, 7, 900, 100_000])
@pytest.mark.parametrize("end", ["```\n\nafter\n", "```", ""])
@pytest.mark.parametrize("name", LONG_CODE)
def test_long_code_is_shown_piece_by_piece(name: str, end: str, size: int) -> None:
    """Its pieces are closed blocks while the code is open, the same as when the whole is rendered, of bounded size."""
    code = LONG_CODE[name]
    text = f"before\n\n ```python\n{code}{end}"
    blocks, found = streamed([text[at : at + size] for at in range(0, len(text), size)])
    html = "".join(block.html for block in found)
    assert blocks.exact
    assert html == render(text)
    assert html.count('<div class="highlight">') == html.count("Python") == 1
    assert unescape(re.sub(r"<[^>]*>", "", html.partition("</span>")[2])).startswith(code[:50])
    assert [block.start for block in found] == [0, *(block.end for block in found)][: len(found)]
    if len(code) > PIECE_CHARACTERS:
        early = Blocks()
        assert len([block for at in range(0, 8_000, 10) for block in early.write(text[at : at + 10])]) >= 2


def test_an_answer_that_cannot_be_cut_is_plain_text() -> None:
    """The failed part and all later text are one plain block; earlier blocks stay."""
    blocks = Blocks()
    assert [block.html for block in blocks.write("*a*\n\n")] == ["<p><em>a</em></p>\n"]
    part = blocks.feed("- *b*\n")
    assert part is not None
    assert blocks.accept_cut(part, None) == []
    assert not blocks.feed("\n*c* <d>\n\n")
    assert blocks.rest() == [RenderedBlock(4, 21, "<pre>- *b*\n\n*c* &lt;d&gt;</pre>\n")]
    assert blocks.exact


@pytest.mark.parametrize(
    "cut",
    [Cut([(3, "<p>")]), Cut([(0, "<p>")]), Cut([(-1, ""), (2, "")]), Cut([], closing="(a+)+$"), Cut([], closing="`~")],
)
def test_a_cut_of_another_process_is_checked(cut: Cut) -> None:
    """Lengths must fit the part, and `closing` must be a known marker, never a regular expression."""
    assert not cut.fits(Part("ab"))
    assert Cut([(2, "<p>")], closing="```").fits(Part("ab"))


def test_references_for_later_blocks_are_bounded() -> None:
    """The references sent with later parts are bounded, and the cut is not exact."""
    text = "".join(f"[{number}]: /url\n" for number in range(REFERENCES_MAX + 1))
    cut = Renderer().cut(Part(text, last=True))
    assert len(cut.references) == REFERENCES_MAX
    assert not cut.exact


LONG = {
    "prose": "Hello *world*, this is `code` and text.\n\n" * 1_000,
    "list": "- item one two three\n" * 2_000,
    "loose list": "- item\n\n" * 1_600,
    "code": "```python\n" + "x = 1\n" * 6_400 + "```\n",
    "unclosed code": "```\n" + "x = 1\n" * 6_400,
    "paragraph": "word word\n" * 4_000,
    "table": "|a|b|\n|-|-|\n" + "|1|2|\n" * 1_600,
    "quote": "> a b\n" * 3_200,
    "one line": "word " * 8_000,
}


@pytest.mark.proof("timing")
@pytest.mark.parametrize("name", LONG)
def test_streaming_a_long_answer_costs_little_more_than_rendering_it(name: str) -> None:
    """10 to 40 KB in pieces of five letters take at most ten times as long as one rendering."""
    text = LONG[name]
    began = time.process_time()
    whole = render(text)
    at_once = time.process_time() - began
    began = time.process_time()
    _, found = streamed([text[at : at + 5] for at in range(0, len(text), 5)])
    assert time.process_time() - began < 10 * at_once + 1
    assert "".join(block.html for block in found) == whole


@pytest.mark.parametrize("unit", ["[", "![", "*a ", "_a__", "http://", "`", "](", ">", "~~a ", "<", "&", "\\", "|a"])
def test_hostile_answers_take_bounded_time(unit: str) -> None:
    """50 KB of any repeated markup take under five seconds."""
    began = time.process_time()
    render(unit * (50_000 // len(unit)))
    assert time.process_time() - began < 5
