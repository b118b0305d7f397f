"""Finds parts of a conversation that a provider refuses for good, such as a picture or a filtered message. Pure.

A refused part would make all later turns of its thread fail, so the turn is asked again without it, and so are they.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeAlias

from attrs import define, evolve, field

from understudy.models.faults import numbers, wording
from understudy.models.items import CallItem, Item, MessageItem, NoteItem, Part, ReasoningItem, ResultItem
from understudy.models.model import ModelFault, ModelUnavailable, Turn
from understudy.models.prompt import offered_tools

REMEMBERED: Final = 1_000
"""Refused parts that are remembered per model. Beyond that the oldest is forgotten, and has to be refused again."""
MAX_NAMES: Final = 2_000
"""Characters of the list of left-out tools that a model is given; a longer list is cut."""
MIN_TOOLS: Final = 8
"""Tools that every model takes. A smaller number in a provider's words is not a limit of tools."""
_TOO_MANY_TOOLS: Final = wording(
    r"(tools?|functions?|declarations)\b.{0,80}(too (many|long)|maxim|limit|at most|exceed|more than)"
    r"|(too many|maxim|limit|at most|exceed|more than).{0,60}\b(tools|functions|function.declarations)\b"
)
_OF_ONE_TOOL: Final = wording(r"(tools|functions|declarations)(\[|\.)\d")
LEFT_OUT: Final = "(The file {file_id} could not be shown to you: it is in a form that you do not take.)"
"""The note to the model. It has no file name, which is untrusted; the fenced description of the files has it."""
NO_RESULT: Final = '{"status":"failed","error":"This result could not be shown to you: it was refused."}'
"""Replaces the content of a refused result."""

_Key: TypeAlias = tuple[str, str]
"""The kind of a part (``attachments``, ``reasoning``, ``result``, ``message`` with its answer), and its id."""
_Exchange: TypeAlias = list[Item]


def lighter(turn: Turn, error: ModelUnavailable) -> list[Turn]:
    """Return variants of a refused turn to be asked instead, the likeliest to pass first.

    Three leave out attachments and reasoning, unanswered messages, or the newest results; the last one all of these and
    all older messages. After a failure that may pass by itself, only unanswered messages are left out.
    """
    if error.fault not in (ModelFault.REFUSED, ModelFault.FILTERED, ModelFault.FAILED):
        return []
    kinds = (error.about,) if error.about and error.fault is ModelFault.REFUSED else ("attachments", "reasoning")
    work = turn.work
    last_call = max((n for n, item in enumerate(work) if isinstance(item, CallItem)), default=len(work))
    newest = {item.call_id for item in work[last_call:] if isinstance(item, ResultItem)}

    def is_light(key: _Key) -> bool:
        return key[0] in kinds

    def is_newest(key: _Key) -> bool:
        return key[0] == "result" and key[1] in newest

    variants = [
        _without(turn, _never, _is_unanswered),
        _without(turn, is_light, _never),
        _without(turn, is_newest, _never),
        _without(turn, lambda key: is_light(key) or is_newest(key), lambda _: True),
    ]
    if error.about:
        variants[0], variants[1] = variants[1], variants[0]
    if error.fault is ModelFault.FAILED:
        variants = [_without(turn, _never, _is_unanswered)]
    return [variant for n, variant in enumerate(variants) if variant is not turn and variant not in variants[:n]]


def names_of_left_out(whole: Turn, taken: Turn) -> str:
    """Return a description, for the user, of the parts of `whole` that `taken` lacks. It does not name reasoning."""
    missing = set(_keys(whole.items)) - set(_keys(taken.items))
    messages = sum(kind == "message" for kind, _ in missing)
    files = {file_id for kind, file_id in missing if kind == "attachments"}
    names = [name for item in whole.items for name, file_id in _attachments(item) if file_id in files]
    if any(kind == "result" for kind, _ in missing) and not messages:
        names.append("results of tools")
    if messages:
        names.append("an earlier message" if messages == 1 else f"{messages} earlier messages")
    return ", ".join(dict.fromkeys(names))


def with_tools(turn: Turn, most: int) -> Turn:
    """Return a turn with at most `most` tools, including the handoff. A note lists the names of those left out.

    Kept are the tool that must be called, then those called in the conversation, the newest first, then the others.
    """
    tools = turn.tools or turn.agent.tools
    room = most - bool(turn.listed_colleagues or turn.colleagues)
    if len(tools) <= room:
        return turn
    called = [item.name for item in reversed(turn.items) if isinstance(item, CallItem)]
    order = [turn.settings.tool_choice, *called, *(tool.name for tool in tools)]
    by_priority = list(dict.fromkeys(name for name in order if any(name == tool.name for tool in tools)))
    chosen = set(by_priority[: max(0, room)])
    fewer = tuple(tool for tool in tools if tool.name in chosen)
    names = ", ".join(tool.name for tool in tools if tool.name not in chosen)
    note = NoteItem(f"You take {most} tools at most, so that you are not given these: {names[:MAX_NAMES]}")
    agent = evolve(turn.agent, tools=fewer)
    return evolve(turn, agent=agent, tools=fewer if turn.tools else (), notes=(*turn.notes, note))


def most_tools(turn: Turn, error: ModelUnavailable) -> int:
    """Return how many tools the model takes, if it refused the turn's tools as too many and says its limit; else 0."""
    if error.retryable or not _TOO_MANY_TOOLS.search(error.words) or _OF_ONE_TOOL.search(error.words):
        return 0
    offered = len(offered_tools(turn))
    return max((number for number in numbers(error.words) if MIN_TOOLS <= number < offered), default=0)


@define
class RefusedParts:
    """The parts that a model has refused."""

    _refused: OrderedDict[_Key, None] = field(factory=OrderedDict)

    def spare(self, turn: Turn) -> Turn:
        """Return a turn without the parts that were refused before."""
        is_refused = self._refused.__contains__
        if not self._refused:
            return turn
        return _without(turn, is_refused, lambda exchange: any(map(is_refused, _message_key(exchange))))

    def remember(self, refused: Turn, taken: Turn) -> None:
        """Remember the parts of `refused` that `taken` lacks."""
        taken_keys = set(_keys(taken.items))
        for key in _keys(refused.items):
            if key not in taken_keys:
                self._refused[key] = None
        while len(self._refused) > REMEMBERED:
            self._refused.popitem(last=False)


def _exchanges(items: Sequence[Item]) -> list[_Exchange]:
    """Split items at the user's messages, except those sent into a running run: they have its first one's origin."""
    exchanges: list[_Exchange] = [[]]
    for item in items:
        is_request, message_id = isinstance(item, MessageItem) and item.role == "user", item.origin.message_id
        if is_request and exchanges[-1] and not (message_id and message_id == exchanges[-1][0].origin.message_id):
            exchanges.append([])
        exchanges[-1].append(item)
    return exchanges


def _message_key(exchange: _Exchange) -> Iterator[_Key]:
    if exchange and exchange[0].origin.message_id:
        yield "message", exchange[0].origin.message_id


def _is_unanswered(exchange: _Exchange) -> bool:
    return not any(isinstance(item, MessageItem) and item.role == "assistant" for item in exchange)


def _never(_: object) -> bool:
    return False


def _attachments(item: Item) -> Iterator[tuple[str, str]]:
    """Yield name and id of each picture and document of an item."""
    if isinstance(item, MessageItem):
        names = {file.id: file.name for file in item.files}
        parts: tuple[Part, ...] = (*item.images, *item.documents)
        for part in parts:
            yield names.get(part.file_id, part.file_id), part.file_id


def _keys(items: Sequence[Item]) -> Iterator[_Key]:
    """Yield the keys of the parts of items, but not of those that are left out already."""
    for exchange in _exchanges(items):
        yield from _message_key(exchange)
        for item in exchange:
            yield from _keys_of(item)


def _keys_of(item: Item) -> Iterator[_Key]:
    yield from (("attachments", file_id) for _, file_id in _attachments(item))
    if isinstance(item, ReasoningItem) and item.state is not None:
        yield "reasoning", f"{item.origin.run_id} {item.origin.step} {item.origin.agent}"
    if isinstance(item, ResultItem) and item.content != NO_RESULT:
        yield "result", item.call_id


def _without(turn: Turn, drops_part: Callable[[_Key], bool], drops_exchange: Callable[[_Exchange], bool]) -> Turn:
    """Return a turn without the chosen parts and older exchanges; the same object if it has none of them."""
    *older, newest = _exchanges(turn.items)
    remaining = [item for exchange in older if not drops_exchange(exchange) for item in exchange] + newest
    items = tuple(_item_without(item, drops_part) for item in remaining)
    is_same = len(items) == len(turn.items) and all(map(lambda new, old: new is old, items, turn.items))
    return turn if is_same else evolve(turn, items=items)


def _item_without(item: Item, drops_part: Callable[[_Key], bool]) -> Item:
    dropped = [key for key in _keys_of(item) if drops_part(key)]
    if not dropped:
        return item
    if isinstance(item, ReasoningItem):
        return evolve(item, state=None)
    if isinstance(item, ResultItem):
        return evolve(item, content=NO_RESULT)
    assert isinstance(item, MessageItem)  # noqa: S101 - for the type checker: no other item has keys
    ids = {file_id for _, file_id in dropped}
    notes = [LEFT_OUT.format(file_id=file_id) for _, file_id in _attachments(item) if file_id in ids]
    return evolve(
        item,
        content="\n".join(part for part in (item.content, *notes) if part),
        images=tuple(image for image in item.images if image.file_id not in ids),
        documents=tuple(document for document in item.documents if document.file_id not in ids),
    )
