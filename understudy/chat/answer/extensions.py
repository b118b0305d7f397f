"""Tasks, footnotes and images in answers, as GitHub writes them. Pure.

A footnote is shown where it is written, and its mark is a link to it whether or not it is there: so a streamed answer
looks as the finished one. Ids are left to the page, which shows several answers.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

TASK_CLASSES: Final = frozenset({"task", "done"})
"""Classes of the `span` in place of a box to tick, and `task` of its `li`."""
NOTE_CLASS: Final = "footnote"
"""The class of the `div` of a footnote, and of the `sup` of its mark."""
OWN_FILES: Final = "/api/files/"
IMAGE_CLASS: Final = "image"
"""The class of the link in place of an image that is not shown."""

_TASK: Final = re.compile(r"\[([ xX])\][ \t]+(?=\S)")
_LABEL: Final = r"[A-Za-z_-]{0,24}\d{1,4}"
"""Labels end with a digit: `[^abc]` is more often a regular expression."""
_MARK: Final = re.compile(rf"\[\^({_LABEL})\]")
_NOTE: Final = re.compile(rf"\[\^({_LABEL})\]:[ \t]*")
_HOST: Final = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?//", re.ASCII)


def add_extensions(md: MarkdownIt) -> None:
    """Have a parser recognise tasks, footnotes and images of other hosts, and a renderer show them."""
    md.core.ruler.after("inline", "tasks", _mark_tasks)
    md.inline.ruler.before("link", "footnote", _mark)
    md.block.ruler.before("reference", "footnote", _note, {"alt": ["paragraph", "reference"]})
    md.add_render_rule("footnote_mark", _render_mark)
    md.add_render_rule("footnote_open", _render_note)
    md.add_render_rule("footnote_close", lambda *_: "</div>\n")
    md.add_render_rule("image", _image)


def _mark_tasks(state: StateCore) -> None:
    tokens = state.tokens
    for item, paragraph, inline in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if (item.type, paragraph.type, inline.type) != ("list_item_open", "paragraph_open", "inline"):
            continue
        children = inline.children or []
        found = _TASK.match(inline.content) if children and children[0].type == "text" else None
        if found is None or not children[0].content.startswith(found[0].rstrip()):
            continue
        done = found[1] != " "
        item.attrJoin("class", "task")
        children[0].content = children[0].content[len(found[0].rstrip()) :]
        box = Token("html_inline", "", 0)
        box.content = f'<span class="task{" done" if done else ""}">{"☑" if done else "☐"}</span>'
        children.insert(0, box)


def _mark(state: StateInline, silent: bool) -> bool:
    found = _MARK.match(state.src, state.pos) if state.src[state.pos] == "[" else None
    if found is None:
        return False
    if not silent:
        state.push("footnote_mark", "", 0).content = found[1]
    state.pos = found.end()
    return True


def _note(state: StateBlock, first: int, end_line: int, silent: bool) -> bool:
    """Read a footnote: its line and those up to a blank line or the next footnote."""
    if state.is_code_block(first):
        return False
    found = _NOTE.match(state.src[state.bMarks[first] + state.tShift[first] : state.eMarks[first]])
    if found is None:
        return False
    if silent:
        return True
    lines = [state.src[state.bMarks[first] + state.tShift[first] + found.end() : state.eMarks[first]]]
    line = first + 1
    while line < end_line and not state.isEmpty(line) and state.sCount[line] >= state.blkIndent:
        text = state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]]
        if _NOTE.match(text):
            break
        lines.append(text)
        line += 1
    opening = state.push("footnote_open", "div", 1)
    opening.map, opening.meta, opening.block = [first, line], {"label": found[1]}, True
    state.push("paragraph_open", "p", 1).map = [first, line]
    inline = state.push("inline", "", 0)
    inline.content, inline.map, inline.children = "\n".join(lines).strip(), [first, line], []
    state.push("paragraph_close", "p", -1)
    state.push("footnote_close", "div", -1)
    state.line = line
    return True


def _render_mark(_self: RendererHTML, tokens: Sequence[Token], index: int, *_: Any) -> str:
    label = tokens[index].content
    return f'<sup class="{NOTE_CLASS}"><a href="#note-{label}">{label}</a></sup>'


def _render_note(_self: RendererHTML, tokens: Sequence[Token], index: int, *_: Any) -> str:
    label = tokens[index].meta["label"]
    return f'<div class="{NOTE_CLASS}"><a href="#mark-{label}">{label}</a>'


def _image(self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
    """Show an image of the page's own host, or one that the policy shows; another one is a link to it.

    So is one of the user's files: the browser's own request for it would have no token. The page shows it in place.
    """
    token = tokens[index]
    address, alt = str(token.attrGet("src") or ""), self.renderInlineAsText(token.children or [], options, env)
    shown: Callable[[str], bool] = env["shows"]
    if not address.startswith(OWN_FILES) and (shown(address) or not _HOST.match(address)):
        return self.image(tokens, index, options, env)
    words = escapeHtml(alt.strip() or address)
    return f'<a href="{escapeHtml(address)}" class="{IMAGE_CLASS}">{words}</a>'
