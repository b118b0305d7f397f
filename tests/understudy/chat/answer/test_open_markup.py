"""The open end of an answer as HTML: no raw markup, whatever its last character, and nothing unsafe or withheld."""

import re
import time
from html import unescape

import pytest

from sanitization import STANDARD, Sanitizer
from tests.cpu import cpu_seconds
from tests.understudy.chat.answer.test_markdown import Blocks
from understudy.chat.answer.blocks import Part
from understudy.chat.answer.html import AnswerHtml
from understudy.chat.answer.markdown import Renderer, render
from understudy.chat.answer.render_worker import PREVIEW_S
from understudy.chat.answer.stream import SanitizedAnswer

RENDERER = Renderer()
DOCUMENTS = {
    "inline": """# Title of it

Some **bold text** and *italics with `code inside`* plus ~~gone~~ and [a link](https://example.org/a_(b)?x=1 "t") here.
Second line with `a * b`, ***both***, **bold `code` and *more* of it**, <https://example.org/x> and &amp; so on.
""",
    "headings": "Setext\n======\n\nAnother\n---\n\n### Third ###\n\n---\n\nafter\n",
    "lists": """- item **one**
- item [two](https://example.org)
  - nested `three`

1. first
2. second *thing*
10) tenth

> a quote with **bold** and
> - an item
> more
""",
    "tables": """Before:

| Month | Revenue |
|-------|--------:|
| 2025-01 | **12** |
| 2025-02 | `x` and [y](https://example.org) |

text
| A | B | C |
| --- | :-: | --- |
| 1 | 2 | 3 |
""",
    "code": "Look:\n\n```python\ndef f(x):\n    return x ** 2  # [not](a link)\n```\n\n~~~\n| a |\n~~~\nend\n",
    "code in a list": "1. Run\n   ```sh\n   echo *\n   ```\n2. Done\n",
    "formulas": """The area is \\(\\pi r^2\\) and the sum $x_1 + 2$ costs.

\\[
e + 1
- b
\\]

$$
a = b
$$
end
""",
    "tasks and notes": "- [x] done *it*\n- [ ] open\n\nA word[^1] here.\n\n[^1]: The *note*.\n",
    "references": "[x]: https://example.org\n\nsee [x] and [the text][x] too\n",
}
RAW = re.compile(r"\\|\$|\*|~~|`|\]\(|#|\||\[|^-|===|---|!\[|<|^\s*>", re.MULTILINE)
"""Marks of Markdown; the text of the documents has none of them outside of code."""


def words(html: str) -> str:
    """Return the text of HTML without its code."""
    return unescape(re.sub(r"<[^>]*>", "", re.sub(r"<(code|math)\b.*?</\1>", "", html, flags=re.DOTALL)))


def previews(text: str) -> list[tuple[str, str]]:
    """Return the open end after each character of a text, and its preview."""
    blocks, found = Blocks(), []
    for letter in text:
        blocks.write(letter)
        if (end := blocks.open_end) is not None:
            found.append((end[1].text, RENDERER.preview(end[1])))
    return found


@pytest.mark.parametrize("name", DOCUMENTS)
def test_no_prefix_shows_raw_markup(name: str) -> None:
    """After each character, the preview has no mark of Markdown; it has the same words as what it becomes."""
    for source, html in previews(DOCUMENTS[name]):
        assert not RAW.search(words(html)), (source[-60:], html[-200:])
        assert html == RENDERER.clean(html)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_preview_of_whole_lines_is_their_rendering(name: str) -> None:
    """At the end of the document the preview is what the open end is rendered as."""
    source, html = previews(DOCUMENTS[name])[-1]
    assert re.sub(r"\s", "", html) == re.sub(r"\s", "", Renderer().render(source)) or name == "references"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("**bold", "<p><strong>bold</strong></p>\n"),
        ("**bold*", "<p><strong>bold</strong></p>\n"),
        ("a *b **c", "<p>a <em>b <strong>c</strong></em></p>\n"),
        ("~~gone", "<p><s>gone</s></p>\n"),
        ("run `ls -l", "<p>run <code>ls -l</code></p>\n"),
        ("run `", "<p>run</p>\n"),
        ("[text](https://exa", "<p>text</p>\n"),
        ("[text", "<p>text</p>\n"),
        ("see ![alt](/a.p", "<p>see alt</p>\n"),
        ("2 * 3 = 6", "<p>2 * 3 = 6</p>\n"),
        ("snake_case_name", "<p>snake_case_name</p>\n"),
        ("5*3 is fifteen", "<p>5*3 is fifteen</p>\n"),
        ("-", ""),
        ("1.", ""),
        ("##", ""),
        ("text\n-", "<p>text</p>\n"),
        ("```py", ""),
        ("```py\nx\n``", None),
        ("| a |", ""),
        ("| a |\n", "<table>\n<thead>\n<tr>\n<th>a</th>\n</tr>\n</thead>\n</table>\n"),
        ("a < b and `c", "<p>a &lt; b and <code>c</code></p>\n"),
        ("fish &am", "<p>fish</p>\n"),
        ("back\\", "<p>back</p>\n"),
    ],
)
def test_open_markup_is_closed_or_withheld(text: str, shown: str | None) -> None:
    """Emphasis and code are closed, links are their words, and a marker alone is not shown."""
    end = Blocks()
    end.write(text)
    found = end.open_end
    assert found is not None
    html = RENDERER.preview(found[1])
    assert html == shown if shown is not None else "``" not in html


def test_a_marker_that_nothing_closes_is_a_character_in_the_end() -> None:
    """An asterisk that opened long ago is not taken for emphasis."""
    blocks = Blocks()
    blocks.write("*.py are files. " + "And words follow. " * 40)
    end = blocks.open_end
    assert end is not None
    assert RENDERER.preview(end[1]).startswith("<p>*.py are files.")


def test_code_that_goes_on_is_previewed_from_its_last_piece() -> None:
    """The preview of long code has the lines after the pieces that are closed, in the colours that they will have."""
    blocks = Blocks()
    closed = [block for line in range(200) for block in blocks.write("```python\n" if not line else f"x = {line}\n")]
    end = blocks.open_end
    assert end is not None
    html = RENDERER.preview(end[1])
    assert html.startswith('<div class="highlight continued"><pre><code><span class="n">x</span>')
    assert html.count("\n") < 100
    rest = blocks.write("```\n")
    assert [block.html for block in rest] == [html]
    assert "".join(block.html for block in [*closed, *rest]).count("Python") == 1


@pytest.mark.proof("timing")
@pytest.mark.parametrize(
    ("text", "shown", "least"),
    [
        ("|name|value|\n|-|-:|\n" + "|a *row*|17|\n" * 4_600, "<tr>", 4_601),
        ("- an *item* of many\n" * 3_000, "<li>", 3_000),
        ("A **sentence** that goes on, and `code`. " * 1_500, "<strong>", 1_500),
        ("1. Run\n\n   ```python\n" + "   x = f(1)  # so\n" * 3_400, '<span class="n">f</span>', 1_000),
        ("```json\n" + '{"a": 1}, ' * 6_000, "<pre><code>", 1),
    ],
    ids=["table", "list", "paragraph", "code in a list", "a long line of code"],
)
def test_a_block_of_60_kb_is_previewed_within_the_limit(text: str, shown: str, least: int) -> None:
    """It looks as it will while it is written, however long it is; a busy machine takes up to twice as long."""
    limit_s = 2 * PREVIEW_S
    assert cpu_seconds(lambda: RENDERER.preview(Part(text)), limit_s) < limit_s
    html = RENDERER.preview(Part(text))
    assert html.count(shown) >= least
    assert not RAW.search(words(html))


@pytest.mark.parametrize("unit", ["[", "![", "*a ", "_a__", "`", "](", "> ", "~~a ", "<h", "\\", "|a", "- ", "$a "])
def test_hostile_ends_are_previewed_in_bounded_time(unit: str) -> None:
    """A preview of 24 KB of any repeated markup takes a fraction of a second, also on a busy machine."""
    blocks = Blocks()
    blocks.feed(unit * (24_000 // len(unit)))
    end = blocks.open_end
    assert end is not None
    began = time.process_time()
    RENDERER.preview(end[1])
    assert time.process_time() - began < 3


async def test_a_preview_has_nothing_that_the_filter_withholds() -> None:
    """While a secret is written, no preview shows any of it; the processes give the same HTML as the renderer."""
    secret = "ghp_" + "aB3dE5gH7jK9mN1pQ3sT5vX7zB9dF1hJ3kL5"
    html = AnswerHtml()
    answer, shown = SanitizedAnswer(Sanitizer(STANDARD).stream(), html), ""
    for letter in f"The **token** is {secret} and that was it.":
        shown += (await answer.feed(letter)).text
        if (end := answer.open_end) is not None:
            assert end[1].text == shown
            assert secret[4:12] not in RENDERER.preview(end[1])
    end = answer.open_end
    assert end is not None
    made = await html.preview(end[1], "ada")
    assert made is not None
    assert made.html == RENDERER.preview(end[1])
    assert made.cpu_s > 0
    assert render(shown).startswith("<p>The <strong>token</strong>")
