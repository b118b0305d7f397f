"""The originals of placeholders, by thread: in memory only, and shown only to their user.

1. A thread's placeholders are its own: one named in another thread, or made up, stays as it is.
2. Nothing of this is stored. After a restart old placeholders stay as they are, and new ones have other numbers.
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
"""Threads whose placeholders are kept; beyond, the least recently used is dropped."""
EACH: Final = 200
"""Placeholders of one thread; further finds are removed for good."""

_ANY: Final = re.compile(r"\[([a-z0-9_]{1,40})-[0-9]{1,9}\]")
_BEGUN: Final = re.compile(r"\[(?:[a-z0-9_]{1,40}(?:-[0-9]{0,9})?)?\Z")
_LATER: Final = 1_000_000
"""First numbers of placeholders in a thread that may have had others before are random, from this number on."""


class ThreadPlaceholders(Placeholders):
    """The placeholders of one thread. Long texts are read in worker threads, so assigning one is atomic."""

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
        """Restore the placeholders in an event of a thread, for its user: in their own words and in answers."""
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
    """Restores placeholders in a text that arrives in pieces, however it is cut."""

    def __init__(self, placeholders: Placeholders) -> None:
        self._placeholders = placeholders
        self._held = ""

    def feed(self, text: str) -> str:
        """Take the next piece and return the text that can be shown by now. A possible beginning of a placeholder is
        held.
        """
        text = self._held + text
        begun = _BEGUN.search(text, max(0, len(text) - 52))  # the longest placeholder but its last bracket
        end = len(text) if begun is None else begun.start()
        self._held = text[end:]
        return self._placeholders.restore(text[:end])

    def flush(self) -> str:
        """Return the rest: nothing follows."""
        rest, self._held = self._held, ""
        return self._placeholders.restore(rest)


def equal_but_for_placeholders(one: str, other: str) -> bool:
    """Return whether two texts are equal but for the numbers of placeholders, which a restart changes."""
    return one == other or ("[" in one and _ANY.sub(r"[\1]", one) == _ANY.sub(r"[\1]", other))
