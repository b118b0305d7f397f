"""Formats conversations as Markdown for people to read. Pure.

1. An answer is the Markdown that its agent wrote, except that HTML is escaped and an open fence is closed. Any other
   text is put into a fence that is longer than any fence in it, so it contains no markup and cannot end the fence.
2. A name is put on one line, with all of its ASCII punctuation escaped.
3. A text keeps no control characters but line breaks and tabs; a name keeps none.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import define, field

from understudy.content.texts import moment
from understudy.extensions.privacy.queries import User
from understudy.extensions.privacy.records import FORMAT, VERSION
from understudy.storage.records import Message, RunRecord, Thread
from understudy.web.api.shown import Shown

NAME_CHARS: Final = 200
_BREAKS: Final = re.compile("\r\n|[\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_CONTROLS: Final[Mapping[int, str]] = {
    **{code: chr(0x2400 + code) for code in range(32) if chr(code) not in "\n\t"},
    **dict.fromkeys([0x7F, *range(0x80, 0xA0), *range(0xD800, 0xE000)], "\ufffd"),
}
_FENCE: Final = re.compile(r"(`{3,}(?=[^`]*$)|~{3,})")
_INNER_FENCE: Final = re.compile(r"[ \t>*+\-\d.)]+(?:```|~~~)")
_HTML: Final = re.compile(
    r"(?P<code>(?<!`)(?P<ticks>`+)(?!`).*?(?<!`)(?P=ticks)(?!`))|(?<!\\)<(?=[A-Za-z/!?])(?!https?://|br ?/?>)"
)
"""Code within a line, or a `<` that would begin HTML; addresses in `<…>` and `<br>` are not matched."""
_TICKS: Final = re.compile("`+")
_SIGNS: Final = re.compile(r"([!-/:-@\[-`{-~])")


def fenced(text: str) -> str:
    """Return a text in a fence that is longer than any run of backticks in it."""
    text = _BREAKS.sub("\n", text).translate(_CONTROLS)
    fence = "`" * max(3, 1 + max((len(run) for run in _TICKS.findall(text)), default=0))
    return f"{fence}text\n{text}\n{fence}\n"


def written(text: str) -> str:
    """Return an answer's Markdown with escaped HTML and closed fences, so that it cannot change the text after it.

    An answer with fences within lists or quotes is returned as a quote, as it is not certain which of them are open.
    """
    lines, open_fence = _BREAKS.sub("\n", text).translate(_CONTROLS).split("\n"), ""
    if any(map(_INNER_FENCE.match, lines)):
        return "".join(f"{f'> {line}'.rstrip()}\n" for line in lines)
    for at, line in enumerate(lines):
        fence = match[1] if (match := _FENCE.match(line)) else ""
        if open_fence:
            if fence.startswith(open_fence) and not line.strip(" `~"):
                open_fence = ""
        elif fence:
            open_fence = fence
        else:
            lines[at] = _HTML.sub(_as_text, line)
    return "\n".join([*lines, open_fence] if open_fence else lines) + "\n"


def _as_text(match: re.Match[str]) -> str:
    """Escape the `<` that begins HTML; leave code unchanged."""
    return match[0] if match["code"] else f"\\{match[0]}"


def inline(name: str) -> str:
    """Return a name escaped for the middle of a line, cut to NAME_CHARS characters before it is escaped."""
    name = " ".join(_BREAKS.sub(" ", name).translate(_CONTROLS).split())
    return _SIGNS.sub(r"\\\1", name if len(name) <= NAME_CHARS else f"{name[: NAME_CHARS - 1]}…")


def called(agent: str) -> str:
    """Return an agent's name as people read it: `data_analyst` is "Data analyst"."""
    return inline(agent.replace("_", " ").replace("-", " ").strip().capitalize()) or "Answer"


def opening(row: User, name: str, exported_at: float) -> str:
    """Return the heading of the transcript of a user's threads."""
    of_tenant = f" of {inline(row.tenant)}" if row.tenant is not None else ""
    return f"# Conversations of {inline(name)}{of_tenant}\n\nExported {moment(exported_at)}, {FORMAT} {VERSION}.\n"


def attachments(files: Sequence[Any]) -> str:
    """Return a list of files with their metadata."""
    return "".join(f"- {inline(row.name)}, {inline(row.media_type)}, {row.size} bytes, id {row.id}\n" for row in files)


@define
class Transcript:
    """Formats one thread, message by message. `level` is the level of its heading; see `Shown` for `shown`."""

    thread: Thread
    shown: Shown
    level: int = 1
    _numbers: dict[str, int] = field(factory=dict, init=False, repr=False)
    _last: str | None = field(default=None, init=False)

    def opening(self) -> str:
        """Return the heading with the title, times and agent of the thread."""
        row = self.thread
        title = inline(self.shown(row.title)) or "Untitled"
        agent = called(row.pillar or row.agent_type)
        return (
            f"\n{'#' * self.level} {title}\n\n"
            f"Begun {moment(row.created_at)}, last touched {moment(row.updated_at)}; with {agent}.\n"
        )

    def message(self, row: Message, runs: Sequence[RunRecord]) -> str:
        """Return a message under its number, noting in its heading if it does not follow the message before."""
        number = self._numbers[row.id] = len(self._numbers) + 1
        said_by = "You" if row.role == "user" else called(row.pillar or row.agent_type)
        heading = f"{'#' * (self.level + 1)} {number}. {said_by}, {moment(row.created_at)}"
        if branch := self._branch(row):
            heading += f" (branch: {branch})"
        self._last = row.id
        content = self.shown(row.content)
        parts = [heading, fenced(content) if row.role == "user" else f"\n{written(content)}"]
        if row.references:
            parts.append(f"Attached: {', '.join(map(inline, row.references))}\n")
        if row.files:
            parts.append(f"Made: {', '.join(inline(str(file['name'])) for file in row.files)}\n")
        if row.visualization is not None:
            parts.append("With a chart.\n")
        if row.role == "assistant" and row.status != "success":
            parts.append(f"This answer is {inline(row.status)}.\n")
        for run in runs:
            if run.status not in ("success", "cancelled"):  # the answers of these runs say the status
                parts.append(f"The work on it is {inline(run.status)}.\n")
        if row.rating is not None:
            parts.append(f"Rated {inline(row.rating)}.\n")
        if row.note is not None:
            parts += ["Note:", fenced(row.note)]
        return "\n" + "\n".join(f"{part}\n" if not part.endswith("\n") else part for part in parts)

    def _branch(self, row: Message) -> str:
        """Describe how a message branches off; empty if it follows the message before."""
        texts = []
        if row.branch_of is not None:
            original = self._number(row.branch_of)
            texts.append(f"{'instead of' if row.role == 'user' else 'another answer to'} {original}")
        if row.parent_id != self._last:
            texts.append("from the beginning" if row.parent_id is None else f"follows {self._number(row.parent_id)}")
        return ", ".join(texts)

    def _number(self, message_id: str) -> str:
        """Return the number of a message in this transcript, or its id if it has none, as an answer never stored."""
        number = self._numbers.get(message_id)
        return inline(message_id) if number is None else str(number)
