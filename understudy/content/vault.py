"""What placeholders stand for, thread by thread: in memory only, so that only its user is ever shown it again.

1. A thread's placeholders are its own: one that is named in another thread, or made up, stays as it is.
2. Nothing of this is stored. After a restart old placeholders stay as they are, and new ones have other numbers.
"""

import re
import secrets
from collections import OrderedDict
from threading import Lock
from typing import Final

from attrs import define, evolve, field

from sanitization import Placeholders
from transport.wire.events import AgentCompleted, Envelope, FinalResponse, MessageAccepted

THREADS: Final = 2_000
"""Threads whose placeholders are kept; the one not used for the longest makes room."""
EACH: Final = 200
"""Placeholders of one thread; what is found beyond is removed for good."""

_ANY: Final = re.compile(r"\[([a-z0-9_]{1,40})-[0-9]{1,9}\]")
_BEGUN: Final = re.compile(r"\[(?:[a-z0-9_]{1,40}(?:-[0-9]{0,9})?)?\Z")
_LATER: Final = 1_000_000
"""Numbers of placeholders in a thread that may have had others before."""


class ThreadPlaceholders(Placeholders):
    """Those of one thread. Long texts are read in worker threads, so giving a name is one step."""

    def __init__(self, *, is_new: bool) -> None:
        super().__init__(EACH)
        self._later = 0 if is_new else secrets.randbelow(_LATER) + _LATER
        self._lock = Lock()

    def name(self, kind: str, text: str) -> str | None:
        """The placeholder of this text, which is of this kind; None when it cannot have one."""
        with self._lock:
            word = kind.rpartition(".")[2]
            self._counts.setdefault(word, self._later)
            return super().assign(kind, text)


@define(eq=False)
class Vault:
    """The placeholders of the threads that were used last."""

    limit: int = THREADS
    _threads: OrderedDict[tuple[str, str], ThreadPlaceholders] = field(factory=OrderedDict, init=False)

    def __len__(self) -> int:
        return len(self._threads)

    def get(self, owner: str, thread_id: str) -> ThreadPlaceholders | None:
        """Those of a thread, if it has any."""
        if not self._threads:
            return None
        found = self._threads.get((owner, thread_id))
        return found if found is not None and len(found) else None

    def get_or_create(self, owner: str, thread_id: str, *, is_new: bool) -> ThreadPlaceholders:
        """Those of a thread, begun when there are none. `is_new`: nothing was said in it yet."""
        key = (owner, thread_id)
        if key not in self._threads:
            self._threads[key] = ThreadPlaceholders(is_new=is_new)
            while len(self._threads) > self.limit:
                self._threads.popitem(last=False)
        self._threads.move_to_end(key)
        return self._threads[key]

    def has(self, owner: str, thread_id: str) -> bool:
        """Whether a thread's were begun."""
        return (owner, thread_id) in self._threads

    def threads(self) -> dict[str, list[str]]:
        """The threads whose were begun, by owner."""
        found: dict[str, list[str]] = {}
        for owner, thread_id in self._threads:
            found.setdefault(owner, []).append(thread_id)
        return found

    def forget(self, owner: str, thread_id: str) -> None:
        """A thread was deleted."""
        self._threads.pop((owner, thread_id), None)

    def restore_text(self, owner: str, thread_id: str, text: str) -> str:
        """A text of a thread as its user is shown it."""
        found = self.get(owner, thread_id)
        return text if found is None else found.restore(text)

    def restore_envelope(self, owner: str, envelope: Envelope) -> Envelope:
        """An event of a thread as its user is shown it: their own words, and the answers."""
        found = None if envelope.thread_id is None else self.get(owner, envelope.thread_id)
        if found is None:
            return envelope
        match envelope.event:
            case MessageAccepted(content=content) as event:
                return envelope.replace(event=evolve(event, content=found.restore(content)))
            case FinalResponse(message=message) as event:
                return envelope.replace(event=evolve(event, message=found.restore(message)))
            case AgentCompleted(result=result) as event:
                return envelope.replace(event=evolve(event, result=found.restore(result)))
        return envelope


class PlaceholderRestorer:
    """Turns placeholders back in a text that arrives in pieces, however it is cut."""

    def __init__(self, placeholders: Placeholders) -> None:
        self._placeholders = placeholders
        self._held = ""

    def feed(self, text: str) -> str:
        """Takes the next piece; gives what can be shown by now. What may become a placeholder waits."""
        text = self._held + text
        begun = _BEGUN.search(text, max(0, len(text) - 52))  # the longest placeholder but its last bracket
        end = len(text) if begun is None else begun.start()
        self._held = text[end:]
        return self._placeholders.restore(text[:end])

    def flush(self) -> str:
        """The rest: nothing follows."""
        rest, self._held = self._held, ""
        return self._placeholders.restore(rest)


def equal_but_for_placeholders(one: str, other: str) -> bool:
    """Whether two texts are the same but for the numbers of placeholders, which a restart changes."""
    return one == other or ("[" in one and _ANY.sub(r"[\1]", one) == _ANY.sub(r"[\1]", other))
