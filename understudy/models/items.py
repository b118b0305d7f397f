"""The input of a model as a list of items: messages, reasoning, calls, results, handoffs and notes. Pure.

Items are oldest first. The items of one turn of a model follow each other: reasoning, text, calls; then the results of
the calls. `settled` brings any list into the order that providers accept.
"""

import base64
import hashlib
import re
from collections.abc import Collection, Iterable, Sequence
from itertools import count
from typing import Any, Final, Literal, TypeAlias

from attrs import evolve, field, frozen

NO_RESULT: Final = '{"status":"failed","error":"No result was kept."}'
"""The content of the result of a call that was interrupted, or whose result was lost."""
NO_TEXT: Final = "(no text)"
"""The content of a user's message without text and files, because providers refuse an empty one."""


@frozen
class Origin:
    """The origin of an item: the user's message on the branch, its run, the run's step (0: none), and the agent."""

    message_id: str = ""
    run_id: str = ""
    step: int = 0
    agent: str = ""


NOWHERE: Final = Origin()


@frozen
class FileCard:
    """A file attached to a message. `size` is in bytes; `columns` are a table's, None if it is no table."""

    id: str
    name: str
    media_type: str = ""
    size: int = 0
    columns: tuple[str, ...] | None = None


@frozen
class ImagePart:
    """An image of a user's message, for models that take images: its media type and its bytes."""

    file_id: str
    media_type: str
    content: bytes = field(repr=False)


@frozen
class DocumentPart:
    """A PDF file of a user's message, for models that take documents: its name and its bytes."""

    file_id: str
    name: str
    content: bytes = field(repr=False)


Part: TypeAlias = ImagePart | DocumentPart


@frozen
class ProviderState:
    """Data that a provider must get back with its own reply, such as encrypted reasoning; opaque to the server.

    It is given back only to the same `provider` and `model`. `value` is JSON; `ids` are the provider's ids of the
    reply's calls, in their order.
    """

    provider: str
    model: str
    value: Any = field(repr=False)
    ids: tuple[str, ...] = ()


@frozen
class MessageItem:
    """A text of the user or of an agent. `files`, `images` and `documents` are attached to a user's message."""

    role: Literal["user", "assistant"]
    content: str = field(repr=False)
    files: tuple[FileCard, ...] = ()
    images: tuple[ImagePart, ...] = ()
    documents: tuple[DocumentPart, ...] = ()
    origin: Origin = NOWHERE


@frozen
class ReasoningItem:
    """The reasoning of a model before its reply, as far as the provider shows it, and the provider's own state."""

    content: str = field(default="", repr=False)
    state: ProviderState | None = None
    origin: Origin = NOWHERE

    def own_state(self, provider: str, model: str) -> Any:
        """Return the value of the state if it is of this model of this provider; None if not."""
        state = self.state
        return state.value if state is not None and (state.provider, state.model) == (provider, model) else None


@frozen
class CallItem:
    """A tool call that a model asked for. `id` is unique in the list."""

    id: str
    name: str
    arguments: Any = field(factory=dict, repr=False)
    origin: Origin = NOWHERE


def _why(content: str) -> str:
    """Return the text of a result in a repr: the error of a failed call, and nothing of a value."""
    return repr(content) if re.search(r'(\A|\n){"status":', content) else "..."


@frozen
class ResultItem:
    """The result of the call `call_id`. `status` is a value of `understudy.wire.events.ToolStatus`."""

    call_id: str
    name: str
    status: str
    content: str = field(repr=_why)
    origin: Origin = NOWHERE


@frozen
class HandoffItem:
    """The agent `by` handed the run over to the agent `to`."""

    by: str
    to: str
    reason: str = field(default="", repr=False)
    origin: Origin = NOWHERE

    @property
    def content(self) -> str:
        """The handoff as a sentence for the model."""
        return f"{self.by} handed this request over to {self.to}. Reason: {self.reason or 'none given'}"


@frozen
class NoteItem:
    """A note of the server to the model: a summary of older turns, what was left out, data sent with the message."""

    content: str = field(repr=False)
    origin: Origin = NOWHERE


Item: TypeAlias = MessageItem | ReasoningItem | CallItem | ResultItem | HandoffItem | NoteItem


def digest(text: str) -> str:
    """Return a short digest by which a changed text is recognized."""
    return hashlib.blake2s(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def newest_request(items: Sequence[Item]) -> int:
    """Return the index of the newest message of the user, -1 without one."""
    for n, item in zip(range(len(items) - 1, -1, -1), reversed(items), strict=True):
        if isinstance(item, MessageItem) and item.role == "user":
            return n
    return -1


def settled(items: Iterable[Item], provider: str = "", model: str = "") -> list[Item]:
    """Return the items in an order that providers accept, for a model of a provider.

    1. Every call has exactly one result, and the results follow the calls of their turn directly, in their order. A
       call without a result gets `NO_RESULT`; a result without a call, or a second one, is left out.
    2. No text is empty: an agent's is left out, and a user's is replaced by `NO_TEXT`.
    3. Ids of calls are unique. A call of this model keeps the id that its provider made; any other call gets a new id
       in a form that all providers take.
    4. Reasoning is followed by its turn's text or call; otherwise it is left out.
    """
    placed: list[Item] = []
    open_calls: list[CallItem] = []
    results: dict[str, ResultItem] = {}
    used: set[str] = set()
    ids: list[str] = []  # the provider's ids of the calls that follow in the current reply
    renamed: dict[str, str] = {}

    def close() -> None:
        while placed and isinstance(placed[-1], ReasoningItem):
            placed.pop()
        for call in open_calls:
            placed.append(results.get(call.id) or ResultItem(call.id, call.name, "failed", NO_RESULT, call.origin))
        for collected in (open_calls, results, renamed, ids):
            collected.clear()

    for item in items:
        match item:
            case ResultItem(call_id=call_id):
                call_id = renamed.get(call_id, call_id)
                if call_id not in results and any(call.id == call_id for call in open_calls):
                    content = item.content if item.content.strip() else NO_RESULT
                    results[call_id] = evolve(item, call_id=call_id, content=content)
            case CallItem(id=call_id):
                if results:  # this call begins another turn
                    close()
                own_id = ids.pop(0) if ids else ""
                unique = own_id if own_id and own_id not in used else _new_id(call_id, used)
                used.add(unique)
                renamed[call_id] = unique
                item = evolve(item, id=unique)
                open_calls.append(item)
                placed.append(item)
            case ReasoningItem(state=state):
                if open_calls:
                    close()
                if placed and isinstance(placed[-1], ReasoningItem):
                    placed.pop()
                ids[:] = state.ids if state is not None and (state.provider, state.model) == (provider, model) else ()
                placed.append(item)
            case _:
                if not item.content.strip():
                    if not isinstance(item, MessageItem) or item.role == "assistant":
                        continue
                    item = item if item.files or item.images or item.documents else evolve(item, content=NO_TEXT)
                if open_calls or not (isinstance(item, MessageItem) and item.role == "assistant"):
                    close()
                placed.append(item)
    close()
    return placed


def _new_id(call_id: str, used: Collection[str]) -> str:
    """Return an unused id of nine letters and digits, as Mistral's API demands. Every turn gets the same for a call."""
    for number in count():
        digest = hashlib.blake2s(f"{call_id} {number}".encode("utf-8", "surrogatepass")).digest()
        if (new_id := base64.b32encode(digest).decode()[:9]) not in used:
            return new_id
    raise AssertionError  # the count has no end
