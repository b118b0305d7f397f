"""The redacted texts behind placeholders, by thread: in memory only, and shown only to their user.

1. A placeholder is restored only in its own thread. One of another thread, or an invented one, is left unchanged.
2. Nothing is stored. After a restart old placeholders are left unchanged, and new ones get other numbers.
"""

import re
import secrets
from collections import OrderedDict
from threading import Lock
from typing import Final

from attrs import define, evolve, field

from sanitization import Placeholders
from understudy.wire.events import (
    AgentCompleted,
    Envelope,
    FinalResponse,
    MessageAccepted,
    QuestionAsked,
    SteerAccepted,
    ThreadTitled,
)

THREADS: Final = 2_000
"""Threads whose placeholders are kept; beyond that the least recently used is dropped."""
EACH: Final = 200
"""Placeholders of one thread; further findings are removed for good."""

_ANY: Final = re.compile(r"\[([a-z0-9_]{1,40})-[0-9]{1,9}\]")
_BEGINNING: Final = re.compile(r"\[(?:[a-z0-9_]{1,40}(?:-[0-9]{0,9})?)?\Z")
_LATER: Final = 1_000_000
"""In a thread that may have had placeholders before, numbers begin at a random number from this one on."""


class ThreadPlaceholders(Placeholders):
    """The placeholders of one thread. `assign` is thread-safe, because long texts are filtered in worker threads."""

    def __init__(self, *, is_new: bool) -> None:
        super().__init__(EACH)
        self._later = 0 if is_new else secrets.randbelow(_LATER) + _LATER
        self._lock = Lock()

    def assign(self, kind: str, text: str) -> str | None:
        """Return the placeholder of a text of this kind, or None if the limit is reached or the text is too long."""
        with self._lock:
            word = kind.rpartition(".")[2]
            self._counts.setdefault(word, self._later)
            return super().assign(kind, text)


@define(eq=False)
class Vault:
    """The placeholders of the most recently used threads."""

    limit: int = THREADS
    _threads: OrderedDict[tuple[str, str], ThreadPlaceholders] = field(factory=OrderedDict, init=False)

    def __len__(self) -> int:
        return len(self._threads)

    def get(self, owner: str, thread_id: str) -> ThreadPlaceholders | None:
        """Return the placeholders of a thread, if it has any."""
        placeholders = self._threads.get((owner, thread_id))
        return placeholders if placeholders is not None and len(placeholders) else None

    def get_or_create(self, owner: str, thread_id: str, *, is_new: bool) -> ThreadPlaceholders:
        """Return the placeholders of a thread, created if there are none. `is_new`: the thread has no message yet."""
        key = (owner, thread_id)
        if key not in self._threads:
            self._threads[key] = ThreadPlaceholders(is_new=is_new)
            while len(self._threads) > self.limit:
                self._threads.popitem(last=False)
        self._threads.move_to_end(key)
        return self._threads[key]

    def has(self, owner: str, thread_id: str) -> bool:
        """Return whether placeholders were created for a thread."""
        return (owner, thread_id) in self._threads

    def threads(self) -> dict[str, list[str]]:
        """Return the threads for which placeholders were created, by owner."""
        ids: dict[str, list[str]] = {}
        for owner, thread_id in self._threads:
            ids.setdefault(owner, []).append(thread_id)
        return ids

    def forget(self, owner: str, thread_id: str) -> None:
        """Drop the placeholders of a deleted thread."""
        self._threads.pop((owner, thread_id), None)

    def restore_text(self, owner: str, thread_id: str, text: str) -> str:
        """Restore the placeholders in a text of a thread, for its user."""
        placeholders = self._threads.get((owner, thread_id))
        return placeholders.restore(text) if placeholders else text

    def restore_envelope(self, owner: str, envelope: Envelope) -> Envelope:
        """Restore the placeholders in an event of a thread, for its user: in the user's own texts and in answers."""
        placeholders = self._threads.get((owner, envelope.thread_id or "")) if self._threads else None
        if not placeholders:
            return envelope
        match envelope.event:
            case MessageAccepted(content=content) as event:
                return envelope.replace(event=evolve(event, content=placeholders.restore(content)))
            case SteerAccepted(content=content) as steered:
                return envelope.replace(event=evolve(steered, content=placeholders.restore(content)))
            case FinalResponse(message=message) as event:
                return envelope.replace(event=evolve(event, message=placeholders.restore(message)))
            case AgentCompleted(result=result) as event:
                return envelope.replace(event=evolve(event, result=placeholders.restore(result)))
            case QuestionAsked(said=str(said)) as event:
                return envelope.replace(event=evolve(event, said=placeholders.restore(said)))
            case ThreadTitled(title=title) as titled:
                return envelope.replace(event=evolve(titled, title=placeholders.restore(title)))
        return envelope


class PlaceholderRestorer:
    """Restores placeholders in a text that arrives in pieces, even if a placeholder is cut."""

    def __init__(self, placeholders: Placeholders) -> None:
        self._placeholders = placeholders
        self._held = ""

    def feed(self, text: str) -> str:
        """Add the next piece. Return the text that can be shown now, without a possible beginning of a placeholder."""
        text = self._held + text
        beginning = _BEGINNING.search(text, max(0, len(text) - 52))  # the longest placeholder without its last bracket
        end = len(text) if beginning is None else beginning.start()
        self._held = text[end:]
        return self._placeholders.restore(text[:end])

    def flush(self) -> str:
        """Return the text held back, at the end of the whole text."""
        held, self._held = self._held, ""
        return self._placeholders.restore(held)


def equal_but_for_placeholders(one: str, other: str) -> bool:
    """Return whether two texts are equal except for the numbers of placeholders, which a restart changes."""
    return one == other or ("[" in one and _ANY.sub(r"[\1]", one) == _ANY.sub(r"[\1]", other))
