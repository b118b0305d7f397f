"""What was said, as Markdown to be read. Pure.

1. A text stands in a fence that is longer than any in it, so nothing of it is markup, and it ends where it ends.
2. A name stands in one line, and every sign of it that Markdown might take for its own is escaped.
3. No character in either ends a line but a line break, or means anything to a terminal.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from attrs import define, field

from understudy.privacy.records import FORMAT, VERSION, Shown
from understudy.storage.archive_queries import User
from understudy.storage.rows import File, Message, RunRecord, Thread

NAME_CHARS: Final = 200
_BREAKS: Final = re.compile("\r\n|[\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_CONTROLS: Final[Mapping[int, str]] = {
    **{code: chr(0x2400 + code) for code in range(32) if chr(code) not in "\n\t"},
    **dict.fromkeys([0x7F, *range(0x80, 0xA0), *range(0xD800, 0xE000)], "\ufffd"),
}
_TICKS: Final = re.compile("`+")
_SIGNS: Final = re.compile(r"([!-/:-@\[-`{-~])")


def fenced(text: str, language: str = "text") -> str:
    """A text as it is, in a place that it cannot leave."""
    text = _BREAKS.sub("\n", text).translate(_CONTROLS)
    fence = "`" * max(3, 1 + max((len(run) for run in _TICKS.findall(text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}\n"


def inline(name: str) -> str:
    """A name within a line of ours."""
    name = " ".join(_BREAKS.sub(" ", name).translate(_CONTROLS).split())
    return _SIGNS.sub(r"\\\1", name if len(name) <= NAME_CHARS else f"{name[: NAME_CHARS - 1]}…")


def moment(at: float) -> str:
    """A time, given in Unix seconds."""
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):  # a clock that was far off
        return f"{at:.0f} s"


def opening(row: User, name: str, exported_at: float) -> str:
    """How the transcript of all of a user's threads begins."""
    of_tenant = f" of {inline(row.tenant)}" if row.tenant is not None else ""
    return f"# Conversations of {inline(name)}{of_tenant}\n\nExported {moment(exported_at)}, {FORMAT} {VERSION}.\n"


def attachments(files: Sequence[File]) -> str:
    """What is known of some files."""
    return "".join(f"- {inline(row.name)}, {inline(row.media_type)}, {row.size} bytes, id {row.id}\n" for row in files)


@define
class Transcript:
    """One thread, message by message. `level` is that of its heading; `shown` gives a text as its user is shown it."""

    thread: Thread
    shown: Shown
    level: int = 1
    _numbers: dict[str, int] = field(factory=dict, init=False, repr=False)
    _last: str | None = field(default=None, init=False)

    def opening(self) -> str:
        """Its title, and when it was."""
        row = self.thread
        title = inline(self.shown(row.title)) or "Untitled"
        agent = inline(row.pillar or row.agent_type)
        return (
            f"\n{'#' * self.level} {title}\n\n"
            f"Begun {moment(row.created_at)}, last touched {moment(row.updated_at)}; with {agent}.\n"
        )

    def message(self, row: Message, runs: Sequence[RunRecord], raw: str | None) -> str:
        """One message under its number; where it leaves the branch of the one before it, that is said."""
        number = self._numbers[row.id] = len(self._numbers) + 1
        said_by = "You" if row.role == "user" else inline(row.pillar or row.agent_type) or "Answer"
        heading = f"{'#' * (self.level + 1)} {number}. {said_by}, {moment(row.created_at)}"
        if branch := self._branch(row):
            heading += f" (branch: {branch})"
        self._last = row.id
        parts = [heading, fenced(self.shown(row.content), "text" if row.role == "user" else "markdown")]
        if raw is not None:
            parts += ["As it was sent:", fenced(raw)]
        if row.references:
            parts.append(f"Attached: {', '.join(map(inline, row.references))}\n")
        if row.visualization is not None:
            parts.append("With a chart.\n")
        if row.role == "assistant" and row.status != "success":
            parts.append(f"This answer is {inline(row.status)}.\n")
        for run in runs:
            if run.status not in ("success", "cancelled"):  # those have an answer, which says it
                parts.append(f"Run {inline(run.id)}: {inline(run.status)}.\n")
        if row.rating is not None:
            parts.append(f"Rated {inline(row.rating)}.\n")
        if row.note is not None:
            parts += ["Note:", fenced(row.note)]
        return "\n" + "\n".join(f"{part}\n" if not part.endswith("\n") else part for part in parts)

    def _branch(self, row: Message) -> str:
        """How a message does not simply follow the one before it."""
        said = []
        if row.branch_of is not None:
            before = self._number(row.branch_of)
            said.append(f"{'instead of' if row.role == 'user' else 'another answer to'} {before}")
        if row.parent_id != self._last:
            said.append("from the beginning" if row.parent_id is None else f"follows {self._number(row.parent_id)}")
        return ", ".join(said)

    def _number(self, message_id: str) -> str:
        """A message by its number; an answer that was never stored by its name."""
        number = self._numbers.get(message_id)
        return inline(message_id) if number is None else str(number)
